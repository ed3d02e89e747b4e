import { getSystemErrorName } from 'node:util';
import { IpseckitError } from '../../report/errors.js';
import { decodeXfrm, encodeRequests, type XfrmMessage, type XfrmRequest } from '../../wire/netlink/xfrm.js';
import { xfrmGroups } from '../../wire/netlink/xfrm-structures.js';
import { BatchReader } from '../userspace/batch-reader.js';
import { accessDenied, readerKinds, textOf } from '../userspace/native.js';
import { type NetlinkIo, netlinkIo } from './native.js';

/** `NETLINK_XFRM`. */
const xfrmProtocol = 6;
/** Requests that go in one system call. */
const batchRequests = 64;

/** Error numbers the kernel answers with that mean something to us. */
export const errno = { notPermitted: 1, noEntry: 2, noProcess: 3, exists: 17 } as const;

/** What the kernel answered to one request. */
export interface XfrmAnswer {
  readonly messages: readonly XfrmMessage[];
  /** 0: it was done. */
  readonly errno: number;
}

/** The kernel's IPsec: requests are answered before `ask` returns, events come later. */
export class XfrmSocket {
  readonly #native: NetlinkIo;
  readonly #fd: number;
  #events: BatchReader | undefined;
  #sequence = 1;

  /** Throws `IpseckitError`: ENVIRONMENT where the kernel has no XFRM, ACCESS_DENIED without the privilege. */
  constructor() {
    this.#native = netlinkIo();
    this.#fd = open(() => this.#native.openNetlink(xfrmProtocol, 0));
  }

  /** Starts telling acquires, expiries and moved peers. `onLost`: the kernel had no room for some of them. */
  listen(
    onMessage: (message: XfrmMessage) => void,
    onLost: () => void,
    onFailure: (error: Error) => void,
  ): void {
    const { acquire, expire, mapping } = xfrmGroups;
    const groups = [acquire, expire, mapping].reduce((mask, group) => mask | (1 << (group - 1)), 0);
    const fd = open(() => this.#native.openNetlink(xfrmProtocol, groups));
    this.#events = new BatchReader(this.#native, fd, readerKinds.raw, {
      onPackets: (batch, count) => {
        if (count === 0) onLost();
        for (const bytes of batch.packets(count)) for (const message of decodeXfrm(bytes)) onMessage(message);
      },
      onFailure: code =>
        onFailure(new IpseckitError('ENVIRONMENT', `the kernel's IPsec events cannot be read (${code})`)),
    });
  }

  /** One answer a request. Throws `IpseckitError` when the kernel does not answer at all. */
  ask(requests: readonly XfrmRequest[]): XfrmAnswer[] {
    const answers: XfrmAnswer[] = [];
    for (let at = 0; at < requests.length; at += batchRequests)
      answers.push(...this.#exchange(requests.slice(at, at + batchRequests)));
    return answers;
  }

  /** One request; throws `IpseckitError` with `what` when the kernel refuses it. */
  demand(request: XfrmRequest, what: string): readonly XfrmMessage[] {
    const [answer] = this.ask([request]);
    if (answer === undefined || answer.errno !== 0) throw refused(what, answer?.errno ?? 0);
    return answer.messages;
  }

  close(): void {
    this.#events?.close();
    this.#native.closeFd(this.#fd);
  }

  #exchange(requests: readonly XfrmRequest[]): XfrmAnswer[] {
    const first = this.#sequence;
    this.#sequence += requests.length;
    const messages = decodeXfrm(
      open(() => this.#native.netlinkExchange(this.#fd, encodeRequests(requests, first))),
    );
    const results = new Map<number, number>();
    for (const message of messages)
      if (message.kind === 'result') results.set(message.sequence, message.errno);
    const [only] = requests;
    if (requests.length === 1 && only !== undefined) return [{ messages, errno: results.get(first) ?? 0 }];
    return requests.map((_, index) => ({ messages: [], errno: results.get(first + index) ?? 0 }));
  }
}

/** The error of a request that the kernel refused. */
export function refused(what: string, code: number): IpseckitError {
  if (code === errno.notPermitted)
    return new IpseckitError('ACCESS_DENIED', `the kernel refuses ${what}: operation not permitted`, {
      next: 'run as root, or with the capabilities CAP_NET_ADMIN and CAP_NET_RAW',
    });
  return new IpseckitError(
    'ENVIRONMENT',
    `the kernel refuses ${what}${code > 0 ? ` (${getSystemErrorName(-code)})` : ''}`,
    {
      next: 'try "--driver userspace", which needs nothing of the kernel but TUN',
    },
  );
}

function open<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof IpseckitError) throw error;
    const text = 'cannot talk to the IPsec of the kernel';
    throw (
      accessDenied(text, error) ??
      new IpseckitError('ENVIRONMENT', `${text}: ${textOf(error)}`, {
        next: 'load the module xfrm_user ("modprobe xfrm_user"), or use "--driver userspace"',
        cause: error,
      })
    );
  }
}
