import type { FilterText } from '../../policy/build.js';
import { carriesPorts } from '../../policy/protocols.js';
import { addressForms, parseAddressWord, parsePortWord, parseProtocolWord } from '../../policy/words.js';
import { type Prompts, validating } from './prompts.js';

/** Asks for the filters of a rule, at least one. `oneWay`: the rule is a tunnel's, whose filters have one direction. */
export async function askFilters(prompts: Prompts, oneWay: boolean): Promise<FilterText[]> {
  const filters: FilterText[] = [];
  do filters.push(await askFilter(prompts, oneWay));
  while (await prompts.confirm({ message: 'Another filter?', default: false }));
  return filters;
}

async function askFilter(prompts: Prompts, oneWay: boolean): Promise<FilterText> {
  const address = async (message: string, preset: string) =>
    parseAddressWord(
      await prompts.input({
        message: `${message} (${addressForms})`,
        default: preset,
        validate: validating(text => parseAddressWord(text, 'address')),
      }),
      'address',
    );
  const source = await address('Source address', 'me');
  const destination = await address('Destination address', 'any');
  const protocol = parseProtocolWord(
    await prompts.input({
      message: 'Protocol (any, tcp, udp, icmp or a number)',
      default: 'any',
      validate: validating(text => parseProtocolWord(text, 'protocol')),
    }),
    'protocol',
  );
  const port = async (message: string) =>
    parsePortWord(
      await prompts.input({
        message,
        default: 'any',
        validate: validating(text => parsePortWord(text, 'port')),
      }),
      'port',
    );
  const ports = carriesPorts(protocol);
  return {
    source,
    destination,
    protocol,
    sourcePort: ports ? await port('Source port') : 0,
    destinationPort: ports ? await port('Destination port') : 0,
    mirrored: !oneWay && (await prompts.confirm({ message: 'The other direction too?', default: true })),
  };
}
