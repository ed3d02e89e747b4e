/** Who holds what we want: found in /proc, for error messages only, so everything unreadable is passed over. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Holder {
  readonly pid: number;
  readonly program: string;
}

/** The process that has a UDP port of this network namespace, if it can be seen. */
export function udpPortHolder(port: number): Holder | undefined {
  const inodes = ['/proc/net/udp', '/proc/net/udp6'].flatMap(file => udpInodes(readText(file), port));
  const links = new Set(inodes.map(inode => `socket:[${inode}]`));
  if (links.size === 0) return undefined;
  return findProcess(pid => list(`/proc/${pid}/fd`).some(fd => links.has(readLink(`/proc/${pid}/fd/${fd}`))));
}

/** The process that holds a TUN device of this network namespace, if it can be seen. */
export function tunHolder(device: string): Holder | undefined {
  const namespace = readLink('/proc/self/ns/net');
  const line = new RegExp(`^iff:\\s*${device}$`, 'm');
  return findProcess(
    pid =>
      readLink(`/proc/${pid}/ns/net`) === namespace &&
      list(`/proc/${pid}/fdinfo`).some(fd => line.test(readText(`/proc/${pid}/fdinfo/${fd}`))),
  );
}

/** Inodes of the sockets with a local port in the text of /proc/net/udp. */
export function udpInodes(table: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return table
    .split('\n')
    .slice(1)
    .map(line => line.trim().split(/\s+/))
    .filter(columns => columns[1]?.endsWith(`:${wanted}`))
    .map(columns => columns[9] ?? '');
}

function findProcess(holds: (pid: string) => boolean): Holder | undefined {
  const pid = list('/proc')
    .filter(entry => /^\d+$/.test(entry))
    .find(holds);
  if (pid === undefined) return undefined;
  return { pid: Number(pid), program: readText(`/proc/${pid}/comm`).trim() };
}

function list(folder: string): string[] {
  return attempt(() => readdirSync(folder)) ?? [];
}

function readText(file: string): string {
  return attempt(() => readFileSync(file, 'utf8')) ?? '';
}

function readLink(file: string): string {
  return attempt(() => readlinkSync(file)) ?? '';
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
