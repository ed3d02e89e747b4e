/**
 * strongSwan's control protocol, from strongSwan's documentation of the vici plugin: framed requests, responses and
 * events over a Unix socket, each a tree of sections, lists and values.
 */
import type { Duplex } from 'node:stream';

export type ViciValue = string | Uint8Array | readonly string[] | ViciMessage;
export interface ViciMessage {
  readonly [name: string]: ViciValue | undefined;
}

const packetType = {
  request: 0,
  response: 1,
  unknownRequest: 2,
  register: 3,
  unregister: 4,
  confirm: 5,
  event: 7,
};
const element = { sectionStart: 1, sectionEnd: 2, keyValue: 3, listStart: 4, listItem: 5, listEnd: 6 };

export class Vici {
  readonly #socket: Duplex;
  readonly #packets: AsyncIterator<Buffer>;

  /** Takes over a connection to the daemon's socket. */
  constructor(socket: Duplex) {
    this.#socket = socket;
    this.#packets = frames(socket);
  }

  close(): void {
    this.#socket.destroy();
  }

  /**
   * Sends a command and waits for its response. `event` names the events the command streams before the response;
   * they are handed to `onEvent`. Rejects when the daemon reports no success.
   */
  async call(
    command: string,
    message: ViciMessage = {},
    event?: { readonly name: string; readonly onEvent: (body: ViciMessage) => void },
  ): Promise<ViciMessage> {
    if (event !== undefined) await this.#register(packetType.register, event.name);
    this.#send(packetType.request, command, encode(message));
    for (;;) {
      const packet = await this.#next();
      const type = packet[0];
      if (type === packetType.event) {
        event?.onEvent(decode(packet.subarray(2 + (packet[1] ?? 0))));
      } else if (type === packetType.response) {
        if (event !== undefined) await this.#register(packetType.unregister, event.name);
        const response = decode(packet.subarray(1));
        if (response.success === 'no') throw new Error(`${command}: ${response.errmsg}`);
        return response;
      } else {
        throw new Error(`${command}: the daemon answered with packet type ${type}`);
      }
    }
  }

  async #register(type: number, name: string): Promise<void> {
    this.#send(type, name);
    for (;;) {
      const packet = await this.#next();
      if (packet[0] === packetType.confirm) return;
      if (packet[0] !== packetType.event) throw new Error(`${name}: no such event`);
    }
  }

  #send(type: number, name: string, body: Uint8Array = new Uint8Array()): void {
    const header = Buffer.concat([Buffer.from([type, name.length]), Buffer.from(name)]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(header.length + body.length);
    this.#socket.write(Buffer.concat([length, header, body]));
  }

  async #next(): Promise<Buffer> {
    const next = await this.#packets.next();
    if (next.done === true) throw new Error('the daemon closed the connection');
    return next.value;
  }
}

async function* frames(socket: Duplex): AsyncGenerator<Buffer> {
  let pending = Buffer.alloc(0);
  for await (const chunk of socket) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE()) {
      const end = 4 + pending.readUInt32BE();
      yield pending.subarray(4, end);
      pending = pending.subarray(end);
    }
  }
}

const named = (type: number, name: string): Buffer =>
  Buffer.concat([Buffer.from([type, Buffer.byteLength(name)]), Buffer.from(name)]);

function sized(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function encode(message: ViciMessage): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(message)) {
    if (value === undefined) continue;
    if (typeof value === 'string' || value instanceof Uint8Array) {
      parts.push(named(element.keyValue, name), sized(value));
    } else if (isList(value)) {
      parts.push(named(element.listStart, name));
      for (const item of value) parts.push(Buffer.from([element.listItem]), sized(item));
      parts.push(Buffer.from([element.listEnd]));
    } else {
      parts.push(named(element.sectionStart, name), encode(value), Buffer.from([element.sectionEnd]));
    }
  }
  return Buffer.concat(parts);
}

const isList = (value: readonly string[] | ViciMessage): value is readonly string[] => Array.isArray(value);

function decode(bytes: Buffer): ViciMessage {
  let offset = 0;
  const byte = (): number => bytes.readUInt8(offset++);
  const take = (length: number): string => {
    const text = bytes.toString('utf8', offset, offset + length);
    offset += length;
    return text;
  };
  const name = (): string => take(byte());
  const value = (): string => {
    const length = bytes.readUInt16BE(offset);
    offset += 2;
    return take(length);
  };
  const section = (): ViciMessage => {
    const message: Record<string, ViciValue> = {};
    while (offset < bytes.length) {
      const type = byte();
      if (type === element.sectionEnd) break;
      const key = name();
      if (type === element.keyValue) message[key] = value();
      else if (type === element.sectionStart) message[key] = section();
      else if (type === element.listStart) {
        const items: string[] = [];
        while (byte() === element.listItem) items.push(value());
        message[key] = items;
      } else throw new Error(`vici element type ${type} at offset ${offset}`);
    }
    return message;
  };
  return section();
}
