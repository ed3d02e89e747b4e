import { Secret } from '../../crypto/secret.js';
import { defaultMethods, defaultResponseMethods } from '../../policy/build.js';
import type { ActionChanges, RuleChanges } from '../../policy/edit.js';
import type { AuthenticationSpec } from '../../policy/ipsecpol/command.js';
import { printIpsecpolMethod } from '../../policy/ipsecpol/security-method.js';
import type { Rule, SecurityMethod } from '../../policy/model.js';
import { parseHostWord, parseMethodWord, parsePfsWord, pfsWords, requireName } from '../../policy/words.js';
import { readSecretFile } from '../secret-file.js';
import { askFilters } from './filter.js';
import { type Choice, type Prompts, validating } from './prompts.js';

/** Offered besides the methods of the old tool. */
const modernMethods = [
  'ESP[AES256-GCM]',
  'ESP[AES128-GCM]',
  'ESP[AES256,SHA256]',
  'ESP[AES128,SHA256]',
  'AH[SHA256]',
];

/** Asks for everything about a new rule. */
export async function askNewRule(prompts: Prompts, withDefaultResponse: boolean): Promise<RuleChanges> {
  const kind = await prompts.select({
    message: 'What kind of rule?',
    choices: [
      { name: 'for traffic between addresses', value: 'traffic' },
      { name: 'for traffic through a tunnel', value: 'tunnel' },
      ...(withDefaultResponse
        ? [{ name: 'default response: answer peers that no other rule covers', value: 'default' } as const]
        : []),
    ] satisfies Choice<'traffic' | 'tunnel' | 'default'>[],
  });
  if (kind === 'default')
    return {
      action: await askNegotiation(prompts, 'negotiate', defaultResponseMethods),
      authentication: await askAuthentication(prompts),
    };
  const name = await askName(prompts);
  const tunnel = kind === 'tunnel' ? { tunnel: await askTunnel(prompts) } : {};
  const filters = await askFilters(prompts, kind === 'tunnel');
  const action = await askAction(prompts, kind === 'tunnel');
  const authentication =
    action.kind === 'negotiate' ? { authentication: await askAuthentication(prompts) } : {};
  const connectionType = await askConnectionType(prompts, 'all');
  return { name, ...tunnel, filters, action, ...authentication, connectionType };
}

/** Asks which part of a rule to change, and for that part. */
export async function askRuleChanges(prompts: Prompts, rule: Rule): Promise<RuleChanges> {
  const isTunnel = rule.tunnelEndpoint !== undefined;
  const part = await prompts.select({
    message: 'Change what?',
    choices: [
      { name: 'name', value: 'name' },
      ...(rule.filterList === undefined ? [] : [{ name: 'filters', value: 'filters' } as const]),
      { name: 'what happens to the traffic', value: 'action' },
      { name: 'authentication', value: 'authentication' },
      { name: 'tunnel endpoint', value: 'tunnel' },
      { name: 'adapters', value: 'connectionType' },
      { name: rule.active ? 'make it inactive' : 'make it active', value: 'active' },
    ] satisfies Choice[],
  });
  switch (part) {
    case 'name':
      return { name: await askName(prompts, rule.name) };
    case 'filters':
      return { filters: await askFilters(prompts, isTunnel) };
    case 'action':
      return { action: await askAction(prompts, isTunnel) };
    case 'authentication':
      return { authentication: await askAuthentication(prompts) };
    case 'tunnel':
      return { tunnel: await askTunnel(prompts) };
    case 'connectionType':
      return { connectionType: await askConnectionType(prompts, rule.connectionType) };
    default:
      return { active: !rule.active };
  }
}

function askName(prompts: Prompts, preset?: string): Promise<string> {
  return prompts.input({
    message: 'Name of the rule',
    ...(preset === undefined ? {} : { default: preset }),
    validate: validating(text => requireName(text, 'name')),
  });
}

async function askTunnel(prompts: Prompts) {
  const text = await prompts.input({
    message: 'Tunnel endpoint towards which the traffic travels (an address or a name)',
    validate: validating(answer => parseHostWord(answer, 'tunnel endpoint')),
  });
  return parseHostWord(text, 'tunnel endpoint');
}

async function askAction(prompts: Prompts, isTunnel: boolean): Promise<ActionChanges> {
  const kind = isTunnel
    ? 'negotiate'
    : await prompts.select({
        message: 'What happens to the traffic?',
        choices: [
          { name: 'require security', value: 'negotiate' },
          { name: 'request security, and accept traffic in clear', value: 'request' },
          { name: 'permit it in clear', value: 'permit' },
          { name: 'block it', value: 'block' },
        ],
      });
  if (kind === 'permit' || kind === 'block') return { kind };
  return askNegotiation(prompts, kind, defaultMethods);
}

async function askNegotiation(
  prompts: Prompts,
  kind: 'negotiate' | 'request',
  presets: readonly SecurityMethod[],
): Promise<ActionChanges> {
  const offered = [...presets.map(printIpsecpolMethod), ...modernMethods];
  const names = await prompts.checkbox({
    message: 'Security methods, preferred first',
    choices: offered.map((value, i) => ({ name: value, value, checked: i < presets.length })),
  });
  const pfs = await prompts.select({
    message: 'Session-key PFS',
    choices: pfsWords.map(value => ({ name: value, value })),
    default: 'none',
  });
  const extendedSequence = await prompts.confirm({
    message: 'Extended sequence numbers, of 64 bits? Windows has none',
    default: false,
  });
  const request = kind === 'request';
  return {
    kind: 'negotiate',
    methods: names.map(name => parseMethodWord(name, 'method')),
    pfs: parsePfsWord(pfs, 'PFS'),
    extendedSequence,
    acceptUnsecured: request,
    allowFallback:
      request &&
      (await prompts.confirm({
        message: 'Send in clear when the peer does not answer IKE?',
        default: true,
      })),
  };
}

async function askAuthentication(prompts: Prompts): Promise<AuthenticationSpec[]> {
  const methods: AuthenticationSpec[] = [];
  do methods.push(await askMethod(prompts));
  while (await prompts.confirm({ message: 'Another way to authenticate?', default: false }));
  return methods;
}

async function askMethod(prompts: Prompts): Promise<AuthenticationSpec> {
  const kind = await prompts.select({
    message: 'How do the peers authenticate each other?',
    choices: [
      { name: 'with a preshared key in a file', value: 'file' },
      { name: 'with a preshared key typed here', value: 'key' },
      { name: 'with certificates', value: 'certificate' },
      { name: 'with Kerberos', value: 'kerberos' },
    ],
  });
  switch (kind) {
    case 'file':
      return {
        kind: 'presharedFile',
        path: await prompts.input({ message: 'File', validate: validating(readSecretFile) }),
      };
    case 'key':
      return {
        kind: 'preshared',
        key: new Secret(
          await prompts.password({
            message: 'Key',
            validate: text => (text === '' ? 'the key is empty' : true),
          }),
        ),
      };
    case 'certificate':
      return {
        kind: 'certificate',
        authority: await prompts.input({
          message: 'Name of the certificate authority (C=US, O=Example, CN=Example Root)',
          validate: text => (text.trim() === '' ? 'the name is empty' : true),
        }),
      };
    case 'kerberos':
      return { kind };
  }
}

function askConnectionType(
  prompts: Prompts,
  preset: Rule['connectionType'],
): Promise<Rule['connectionType']> {
  return prompts.select<Rule['connectionType']>({
    message: 'On which adapters?',
    choices: [
      { name: 'all', value: 'all' },
      { name: 'LAN', value: 'lan' },
      { name: 'dial-up', value: 'dialup' },
    ],
    default: preset,
  });
}
