/** What ipseckit uses of the package raw-socket, which brings no types. */
declare module 'raw-socket' {
  import type { EventEmitter } from 'node:events';

  export interface RawSocket extends EventEmitter {
    send(
      buffer: Buffer,
      offset: number,
      length: number,
      address: string,
      done: (error: Error | null, bytes: number) => void,
    ): this;
    close(): this;
  }

  interface RawSocketModule {
    readonly Protocol: { readonly ICMP: number };
    /** Throws without the right to open raw sockets. */
    createSocket(options: { readonly protocol: number }): RawSocket;
  }

  const raw: RawSocketModule;
  export default raw;
}
