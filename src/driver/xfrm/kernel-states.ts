/** The states that are ours in the kernel. */
import type { IpseckitError } from '../../report/errors.js';
import { ipAddress } from '../../wire/ip/address.js';
import { type XfrmAcquire, xfrmRequests } from '../../wire/netlink/xfrm.js';
import type { XfrmReplay, XfrmState, XfrmStateId, XfrmStateReport } from '../../wire/netlink/xfrm-state.js';
import type { PairId, SaPair, Spi } from '../api.js';
import { isOurRequestId, pairRequestId } from './marks.js';
import { refused, type XfrmSocket } from './netlink.js';
import type { PairRecord } from './pair-book.js';
import { statesOf } from './states.js';

/** Adds states, all or none. Throws `IpseckitError` ENVIRONMENT when the kernel lacks an algorithm, for one. */
export function addStates(socket: XfrmSocket, states: readonly XfrmState[]): void {
  const added: XfrmStateId[] = [];
  for (const state of states) {
    const [answer] = socket.ask([xfrmRequests.addState(state)]);
    if (answer?.errno === 0) {
      added.push(state.id);
      continue;
    }
    deleteStates(socket, added);
    throw refused(`the SA ${describe(state)}`, answer?.errno ?? 0);
  }
}

/** One that is not there any more is no error. */
export function deleteStates(socket: XfrmSocket, ids: readonly XfrmStateId[]): void {
  socket.ask(ids.map(id => xfrmRequests.deleteState(id)));
}

/** All states of ours. */
export function ourStates(socket: XfrmSocket): XfrmStateReport[] {
  return socket
    .demand(xfrmRequests.listStates(), 'to list its SAs')
    .flatMap(message => (message.kind === 'state' ? [message.state] : []))
    .filter(({ requestId }) => isOurRequestId(requestId));
}

/** One state as it is; empty when there is none. */
export function stateReports(socket: XfrmSocket, id: XfrmStateId): XfrmStateReport[] {
  return (socket.ask([xfrmRequests.getState(id)])[0]?.messages ?? []).flatMap(message =>
    message.kind === 'state' ? [message.state] : [],
  );
}

/**
 * Forgets the state that the kernel made up when it asked for one: while it is there, the kernel asks no more. It can
 * be deleted by its SPI only, so it is given one first.
 */
export function forgetAcquire(socket: XfrmSocket, acquire: XfrmAcquire): void {
  const mode = acquire.policy.templates[0]?.mode ?? 'transport';
  const [answer] = socket.ask([xfrmRequests.allocateSpi(acquire, mode, scratchSpi)]);
  for (const message of answer?.messages ?? [])
    if (message.kind === 'state') deleteStates(socket, [message.state.id]);
}

/** Never chosen by IKE (RFC 4303 2.1: 1 to 255 are reserved), and nothing is ever sent with it. */
const scratchSpi = 0xff;

/** Follows a peer to another UDP address. Where only its port is another, nothing is lost. */
export function moveStates(socket: XfrmSocket, record: PairRecord, peer: PairRecord['peer']): void {
  const before = {
    inbound: statesOf(record, 'inbound'),
    outbound: statesOf(record, 'outbound'),
  };
  const sameAddress = record.peer.address === peer.address;
  record.peer = peer;
  for (const direction of ['inbound', 'outbound'] as const) {
    const next = statesOf(record, direction);
    if (sameAddress) {
      for (const state of next) socket.demand(xfrmRequests.updateState(state), 'to follow the peer');
      continue;
    }
    const numbers = new Map<number, XfrmReplay>();
    for (const { id } of before[direction])
      for (const { replay } of stateReports(socket, id))
        if (replay !== undefined) numbers.set(id.spi, replay);
    deleteStates(
      socket,
      before[direction].map(({ id }) => id),
    );
    addStates(
      socket,
      next.map(state => {
        const replay = numbers.get(state.id.spi);
        return replay === undefined ? state : { ...state, replay };
      }),
    );
  }
}

/** Why this kernel cannot be the engine; `undefined` when it can: it takes an ESP SA. */
export function kernelLacks(socket: XfrmSocket): IpseckitError | undefined {
  const [state] = statesOf(
    { pair: probePair, requestId: pairRequestId(0), peer: { address: probePair.peer, port: 0 } },
    'outbound',
  );
  if (state === undefined) return undefined;
  const [answer] = socket.ask([xfrmRequests.addState(state)]);
  deleteStates(socket, [state.id]);
  if (answer?.errno === 0) return undefined;
  return refused('an ESP SA', answer?.errno ?? 0);
}

const probePair: SaPair = {
  id: 'probe' as PairId,
  local: ipAddress('127.0.0.1'),
  peer: ipAddress('127.0.0.2'),
  mode: 'transport',
  selector: {
    source: { first: ipAddress('127.0.0.1'), last: ipAddress('127.0.0.1') },
    destination: { first: ipAddress('127.0.0.2'), last: ipAddress('127.0.0.2') },
    protocol: 0,
    sourcePort: 0,
    destinationPort: 0,
  },
  inbound: [],
  outbound: [
    {
      protocol: 'esp',
      spi: scratchSpi as Spi,
      encryption: 'aes128',
      hash: 'sha1',
      encryptionKey: new Uint8Array(16),
      integrityKey: new Uint8Array(20),
    },
  ],
  lifetime: { softSeconds: 0, hardSeconds: 0, softKilobytes: 0, hardKilobytes: 0 },
};

function describe({ id, source, encryption, authentication, combined }: XfrmState): string {
  const names = [combined, encryption, authentication].flatMap(one => (one === undefined ? [] : [one.name]));
  return `${source} -> ${id.destination} SPI 0x${id.spi.toString(16)} (${names.join(', ')})`;
}
