import type { DirectoryStatus } from '../../../agent/directory-follower.js';
import { describeExemptions } from '../../../agent/settings.js';
import type { IpsecTestInput } from '../ipsec-input.js';
import {
  filtersText,
  ikeStatisticsText,
  ipsecStatisticsText,
  keyExchangeText,
  mainModesText,
  quickModesText,
  softAssociationsText,
} from '../ipsec-text.js';
import { type Detail, failed, fatal, line, type TestOutcome, warning } from '../report.js';

/**
 * The IP Security test (`netdiag.md` 4): fails when nobody enforces the policy or something else is enforced; warns
 * about failures counted and about an overridden policy.
 */
export function ipsecTest(input: IpsecTestInput): TestOutcome {
  if (input.agent.state === 'stopped')
    return failed(fatal('The IPSec Policy Agent service is not started.'), ...waiting(input));
  if (input.agent.state === 'unreachable')
    return failed(
      fatal(`The IPSec Policy Agent service cannot be asked: ${input.agent.message}`),
      ...waiting(input),
    );
  const fatals = [
    ...(input.policyProblem === undefined
      ? []
      : [fatal(`The assigned policy cannot be loaded: ${input.policyProblem}`)]),
    ...(input.directory?.leftOut ?? []).map(text =>
      fatal(`The directory's policy is applied only in part: ${text}.`),
    ),
    ...input.disagreements.map(fatal),
  ];
  return {
    status: fatals.length > 0 ? 'Failed' : 'Passed',
    details: [...fatals, ...warnings(input), ...statusLines(input), ...sections(input)],
  };
}

/** The policy that is assigned while no agent enforces it. */
function waiting({ policy }: IpsecTestInput): Detail[] {
  return policy === undefined ? [] : [line(`The policy '${policy.name}' is assigned and not enforced.`)];
}

function warnings({ statistics, overridden, directory, pairs, quickModes }: IpsecTestInput): Detail[] {
  const counted = (number: number, what: string) => (number > 0 ? [warning(`${number} ${what}`)] : []);
  return [
    ...(overridden === undefined
      ? []
      : [
          warning(
            `The local policy '${overridden.name}' is assigned but overridden by the directory policy.`,
          ),
        ]),
    ...(directory?.error === undefined
      ? []
      : [warning(`${directoryProblem(directory)}: ${directory.error}`)]),
    ...(statistics === undefined
      ? []
      : [
          ...counted(
            statistics.ike.authenticationFailures,
            'main mode negotiations failed to authenticate the peer.',
          ),
          ...counted(
            Math.max(0, statistics.ike.negotiationFailures - statistics.ike.authenticationFailures),
            'negotiations failed; "ipseckit events --id 547" says why.',
          ),
          ...counted(statistics.driver.badSpiPackets, 'packets came for SAs that are not there (bad SPI).'),
          ...counted(
            statistics.driver.packetsNotAuthenticated,
            'packets failed authentication; "ipseckit sa trace" says of which SAs.',
          ),
        ]),
    ...pairs.flatMap(({ pairId, lastNote }) => {
      const peer = quickModes.find(({ pair }) => pair.id === pairId)?.pair.peer;
      return lastNote === undefined ? [] : [warning(`${peer ?? 'An SA'}: ${lastNote}.`)];
    }),
  ];
}

function directoryProblem({ state }: DirectoryStatus): string {
  if (state === 'cached') return 'The directory does not answer, and the cached copy of its policy is used';
  return state === 'unreachable'
    ? 'The directory does not answer, and no copy of its policy is here'
    : "The directory's policy cannot be applied";
}

function statusLines({ policy }: IpsecTestInput): Detail[] {
  if (policy === undefined) return [line('IPSec policy service is active, but no policy is assigned.')];
  const kind = policy.kind === 'local' ? 'Local' : 'Directory';
  return [
    line(`${kind} IPSec Policy Active: '${policy.name}'`),
    line(`IP Security Policy Path: ${policy.path}`, 'debug'),
  ];
}

/** Main mode from /v on; filters and quick mode at /debug. What has nothing to negotiate shows no negotiations. */
function sections(input: IpsecTestInput): Detail[] {
  const negotiates = input.filters.some(({ action }) => action.kind === 'negotiate');
  const section = (from: Detail['from'], texts: readonly string[]) =>
    texts.length === 0 ? [] : ['', ...texts].map(text => line(text, from));
  return [
    ...(negotiates && input.keyExchange !== undefined
      ? keyExchangeText(input.keyExchange).map(text => line(text, 'verbose'))
      : []),
    ...(input.noDefaultExempt === undefined
      ? []
      : [line(`Default exemptions: ${describeExemptions(input.noDefaultExempt)}`, 'debug')]),
    ...section('debug', filtersText(input.filters)),
    ...(negotiates || input.mainModes.length > 0 ? section('verbose', mainModesText(input)) : []),
    ...(negotiates || input.quickModes.length > 0 ? section('debug', quickModesText(input)) : []),
    ...section('debug', softAssociationsText(input)),
    ...section('verbose', ikeStatisticsText(input)),
    ...section('debug', ipsecStatisticsText(input)),
  ];
}
