/**
 * A policy as other IKE daemons see it: connections to peers with what they carry, and traffic that passes or is
 * dropped. The exporters only print it. Pure.
 */
import type { IpAddress } from '../../wire/ip/address.js';
import { describeRule } from '../describe.js';
import { printSuite } from '../ipsecpol/security-method.js';
import type {
  AuthenticationMethod,
  Filter,
  HostSpec,
  KeyExchangeSettings,
  NegotiateAction,
  Policy,
  Rule,
  SecurityMethod,
} from '../model.js';
import type { NoteBook } from '../note.js';
import { SectionNames } from './exported.js';
import { type Flow, type FlowAddress, flowPrefix, flowsOf } from './flow.js';

export interface PlannedChild extends Flow {
  readonly name: string;
  readonly mode: 'transport' | 'tunnel';
  readonly methods: readonly SecurityMethod[];
}

/** One IKE peer, or a range of them, with one way to authenticate. */
export interface PlannedConnection {
  readonly name: string;
  readonly local: FlowAddress;
  readonly remote: FlowAddress;
  readonly authentication: Exclude<AuthenticationMethod, { readonly kind: 'kerberos' }>;
  readonly children: readonly PlannedChild[];
  /** Only answers: the default response rule. */
  readonly responderOnly: boolean;
}

export interface PlannedShunt extends Flow {
  readonly name: string;
  readonly action: 'pass' | 'drop';
}

export interface Plan {
  readonly name: string;
  readonly keyExchange: KeyExchangeSettings;
  readonly connections: readonly PlannedConnection[];
  readonly shunts: readonly PlannedShunt[];
}

/** What a daemon can do. Methods it cannot use are left out and noted. */
export interface DaemonAbilities {
  supportsMethod(method: SecurityMethod): boolean;
}

/** Plans the active rules of a policy. What the daemon cannot secure is dropped, never let through in clear. */
export function planPolicy(
  policy: Policy,
  localAddresses: readonly IpAddress[],
  abilities: DaemonAbilities,
  book: NoteBook,
): Plan {
  const planner = new Planner(localAddresses, abilities);
  const rules = policy.rules.map((rule, i) => ({ rule, book: book.in(describeRule(rule, i)) }));
  for (const { rule, book: place } of rules) {
    if (!rule.active) place.add('dropped', 'the rule is not active');
    else if (rule.filterList === undefined) planner.defaultResponse(rule, place);
    else if (rule.tunnelEndpoint === undefined) planner.transport(rule, place);
    if (rule.active && rule.connectionType !== 'all')
      place.add('changed', `the rule holds for all adapters, not only those of type ${rule.connectionType}`);
  }
  planner.tunnels(
    rules.filter(
      ({ rule }) => rule.active && rule.tunnelEndpoint !== undefined && rule.filterList !== undefined,
    ),
  );
  const { keyExchange } = policy;
  if (keyExchange.masterKeyPfs || keyExchange.quickModeLimit !== 0)
    book.add('dropped', 'a limit of quick modes for one main mode: other daemons have none');
  if (keyExchange.aggressive) book.add('dropped', 'aggressive mode: the other side is asked for main mode');
  return { name: policy.name, keyExchange, ...planner.plan };
}

interface RuleInBook {
  readonly rule: Rule;
  readonly book: NoteBook;
}

class Planner {
  readonly #localAddresses: readonly IpAddress[];
  readonly #abilities: DaemonAbilities;
  readonly #names = new SectionNames();
  readonly #connections = new Map<string, PlannedConnection & { readonly children: PlannedChild[] }>();
  readonly #shunts: PlannedShunt[] = [];

  constructor(localAddresses: readonly IpAddress[], abilities: DaemonAbilities) {
    this.#localAddresses = localAddresses;
    this.#abilities = abilities;
  }

  get plan(): Pick<Plan, 'connections' | 'shunts'> {
    return { connections: [...this.#connections.values()], shunts: this.#shunts };
  }

  defaultResponse(rule: Rule, book: NoteBook): void {
    const any: FlowAddress = { kind: 'any' };
    const use = this.#use(rule, book);
    if (use === undefined) return;
    book.add('changed', 'the default response rule becomes a connection that answers any peer');
    this.#addChild({ kind: 'me' }, any, use.authentication, true, {
      name: this.#names.unique('default-response'),
      mode: 'transport',
      methods: use.methods,
      local: { address: { kind: 'me' }, port: 0 },
      remote: { address: any, port: 0 },
      protocol: 0,
      way: 'both',
    });
  }

  transport(rule: Rule, book: NoteBook): void {
    const { action } = rule;
    const flows = joinTwins(
      (rule.filterList?.filters ?? []).flatMap(filter => flowsOf(filter, this.#localAddresses, book)),
    );
    const use = action.kind === 'negotiate' ? this.#use(rule, book) : undefined;
    if (action.kind !== 'negotiate' || use === undefined) {
      for (const flow of flows) this.#addShunt(rule, flow, action.kind === 'permit' ? 'pass' : 'drop', book);
      return;
    }
    for (const flow of flows) {
      if (flow.way !== 'both')
        book.add('changed', 'security associations have two directions, so its one-way filters cover both');
      if (flow.remote.address.kind === 'me') {
        book.add('dropped', 'traffic of this computer with itself');
        continue;
      }
      const { address } = flow.local;
      const local: FlowAddress = address.kind === 'host' ? address : { kind: 'me' };
      this.#addChild(local, flow.remote.address, use.authentication, false, {
        ...flow,
        name: this.#names.unique(nameOf(rule, flow)),
        mode: 'transport',
        methods: use.methods,
      });
    }
  }

  /** Joins the two one-way rules of a tunnel. */
  tunnels(rules: readonly RuleInBook[]): void {
    const halves = rules.flatMap(({ rule, book }) =>
      (rule.filterList?.filters ?? []).map(filter => ({ rule, book, filter })),
    );
    const done = new Set<Filter>();
    for (const half of halves) {
      if (done.has(half.filter)) continue;
      done.add(half.filter);
      const back = wayText(half.filter, true);
      const partner = half.filter.mirrored
        ? undefined
        : halves.find(
            ({ filter, rule }) => !done.has(filter) && rule !== half.rule && wayText(filter) === back,
          );
      if (partner !== undefined) done.add(partner.filter);
      this.#tunnel(half, partner);
    }
  }

  #tunnel(
    half: RuleInBook & { filter: Filter },
    partner: (RuleInBook & { filter: Filter }) | undefined,
  ): void {
    const isOwnEnd = ({ rule }: RuleInBook) => {
      const address = endpointOf(rule.tunnelEndpoint);
      return address !== undefined && this.#localAddresses.includes(address);
    };
    const swapped = isOwnEnd(half) || (partner !== undefined && sourceIsFar(partner.filter, half.filter));
    const outbound = swapped ? partner : half;
    const inbound = swapped ? half : partner;
    const { rule, book, filter } = outbound ?? { ...half, filter: reversed(half.filter) };
    if (partner === undefined)
      book.add('changed', 'no rule covers the way back of the tunnel; its connection has both ways');
    else if (!isOwnEnd(half) && !isOwnEnd(partner))
      book.add(
        'advice',
        `the tunnel is taken to go from this computer, ${text(endpointOf(inbound?.rule.tunnelEndpoint))}, to ${text(endpointOf(outbound?.rule.tunnelEndpoint))}`,
      );
    if (inbound !== undefined && meaning(inbound.rule) !== meaning(rule))
      book.add(
        'changed',
        'the rule of the way back has other methods; those of this rule hold for both ways',
      );
    const flows = flowsOf({ ...filter, mirrored: true }, this.#localAddresses, book, true);
    const use = this.#use(rule, book);
    const remote = endpointOf(outbound?.rule.tunnelEndpoint);
    const local = endpointOf(inbound?.rule.tunnelEndpoint);
    for (const flow of flows) {
      if (use === undefined || (outbound !== undefined && remote === undefined)) {
        this.#addShunt(rule, flow, 'drop', book);
        continue;
      }
      this.#addChild(
        local === undefined ? { kind: 'me' } : { kind: 'host', address: local },
        remote === undefined ? { kind: 'any' } : { kind: 'host', address: remote },
        use.authentication,
        false,
        { ...flow, name: this.#names.unique(nameOf(rule, flow)), mode: 'tunnel', methods: use.methods },
      );
    }
  }

  #addShunt(rule: Rule, flow: Flow, action: PlannedShunt['action'], book: NoteBook): void {
    if (rule.action.kind === 'negotiate')
      book.add('changed', 'its traffic is dropped, since it cannot be secured');
    this.#shunts.push({ ...flow, name: this.#names.unique(nameOf(rule, flow)), action });
  }

  #addChild(
    local: FlowAddress,
    remote: FlowAddress,
    authentication: PlannedConnection['authentication'],
    responderOnly: boolean,
    child: PlannedChild,
  ): void {
    const key = [text(local), text(remote), authenticationText(authentication), responderOnly].join('\n');
    const known = this.#connections.get(key);
    if (known !== undefined) {
      known.children.push(child);
      return;
    }
    const { name } = child;
    this.#connections.set(key, { name, local, remote, authentication, children: [child], responderOnly });
  }

  /** What a daemon can use of a negotiating rule; `undefined` when that is nothing. */
  #use({ action, authentication }: Rule, book: NoteBook) {
    if (action.kind !== 'negotiate') return undefined;
    noteClearText(action, book);
    const methods = action.methods.filter(method => {
      const usable = this.#abilities.supportsMethod(method);
      if (!usable) book.add('dropped', `security method ${printSuite(method)}`);
      return usable;
    });
    const usable = authentication.filter(method => method.kind !== 'kerberos');
    const [first] = usable;
    if (usable.length < authentication.length) book.add('dropped', 'Kerberos authentication');
    if (usable.length > 1) book.add('dropped', 'all authentication methods but the first');
    if (first?.kind === 'certificate')
      book.add(
        'advice',
        `the certificate of this computer and that of ${first.authority} have to be installed`,
      );
    return first === undefined || methods.length === 0 ? undefined : { methods, authentication: first };
  }
}

function noteClearText({ acceptUnsecured, allowFallback }: NegotiateAction, book: NoteBook): void {
  if (acceptUnsecured) book.add('dropped', 'accepting inbound clear text: there is no such setting');
  if (allowFallback) book.add('dropped', 'falling back to clear text: there is no such setting');
}

/** Two one-way flows that are each other's way back are one. */
function joinTwins(flows: readonly Flow[]): Flow[] {
  const seen = new Map<string, { flow: Flow }>();
  for (const flow of flows) {
    const key = [
      flow.protocol,
      text(flow.local.address),
      flow.local.port,
      text(flow.remote.address),
      flow.remote.port,
    ].join();
    const twin = seen.get(key);
    if (twin === undefined) seen.set(key, { flow });
    else if (twin.flow.way !== flow.way) twin.flow = { ...flow, way: 'both' };
  }
  return [...seen.values()].map(({ flow }) => flow);
}

function nameOf({ name }: Rule, flow: Flow): string {
  if (name !== undefined) return name;
  return `${text(flow.local.address)}-${text(flow.remote.address)}`;
}

function text(address: FlowAddress | IpAddress | undefined): string {
  if (address === undefined || typeof address === 'string') return address ?? 'an unknown address';
  return flowPrefix(address) ?? address.kind;
}

function authenticationText(method: PlannedConnection['authentication']): string {
  return method.kind === 'preshared' ? `preshared ${method.key.reveal()}` : `certificate ${method.authority}`;
}

function endpointOf(host: HostSpec | undefined): IpAddress | undefined {
  return host?.kind === 'dns' ? host.addresses[0] : host?.address;
}

/** What two rules of one tunnel have in common. */
function meaning({ action, authentication }: Rule): string {
  const methods = action.kind === 'negotiate' ? action.methods : [];
  const secrets = authentication.map(method => (method.kind === 'preshared' ? method.key.reveal() : method));
  return JSON.stringify([action.kind, methods, secrets]);
}

function reversed(filter: Filter): Filter {
  return {
    ...filter,
    source: filter.destination,
    destination: filter.source,
    sourcePort: filter.destinationPort,
    destinationPort: filter.sourcePort,
  };
}

function wayText(filter: Filter, back = false): string {
  const { source, destination, protocol, sourcePort, destinationPort } = back ? reversed(filter) : filter;
  return JSON.stringify([source, destination, protocol, sourcePort, destinationPort]);
}

/** Whether `out` begins at this computer by word, so that `half` must be the way in. */
function sourceIsFar(out: Filter, half: Filter): boolean {
  return out.source.kind === 'me' && half.source.kind !== 'me';
}
