/** Programs that talk as L2TP does, from UDP port 1701 to port 1701. */

export const l2tpPort = 1701;

/** For a server: tells everybody from the same port what they said, and from which; on a line of input, calls all of them. */
export function l2tpEcho(address: string): string {
  return `
const socket = require('node:dgram').createSocket('udp4');
const known = new Map();
socket.on('message', (data, from) => {
  known.set(from.port, from);
  socket.send(data + ' from ' + from.port, from.port, from.address);
});
process.stdin.on('data', () => { for (const { port, address } of known.values()) socket.send('call', port, address); });
socket.bind(${l2tpPort}, '${address}', () => console.log('listening'));`;
}

/**
 * For a client, with the arguments words, times and bytes: says the words so many times, with so many bytes behind them, and
 * prints the different answers. What is not answered is said again.
 */
export function l2tpCaller(server: string): string {
  return `
const [words, times, bytes] = process.argv.slice(1);
const socket = require('node:dgram').createSocket('udp4');
const answers = new Set();
let left = Number(times), timer;
const say = () => {
  clearTimeout(timer);
  socket.send(words + ' '.repeat(Number(bytes)), ${l2tpPort}, '${server}');
  timer = setTimeout(say, 300);
};
socket.on('message', data => {
  if (!data.includes(' from ')) return;
  answers.add(String(data).replace(/ +/g, ' '));
  if (--left > 0) return say();
  console.log([...answers].join());
  process.exit();
});
setTimeout(() => { console.log('silence'); process.exit(); }, 20000);
socket.bind(${l2tpPort}, say);`;
}
