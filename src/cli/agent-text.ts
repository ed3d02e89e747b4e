import type { AgentStatus } from '../agent/control/protocol.js';
import type { DirectoryStatus } from '../agent/directory-follower.js';

/** Which policy is in force and which gives way to it, and how it is with the directory. */
export function describePolicies({ assigned, overridden, directory }: AgentStatus): string[] {
  const named = assigned && `'${assigned.name}' (${assigned.path})`;
  const local = overridden && `'${overridden.name}' assigned, overridden by the directory policy`;
  return [
    ...(assigned?.kind === 'directory' ? [`Domain policy   ${named}`] : []),
    `Local policy    ${local ?? (assigned?.kind === 'local' ? named : 'none assigned')}`,
    ...(directory === undefined ? [] : describeDirectory(directory)),
  ];
}

const states: Readonly<Record<DirectoryStatus['state'], string>> = {
  asking: 'is being asked',
  applied: 'its policy is in force',
  cached: 'does not answer; the cached copy of its policy is in force',
  unassigned: 'assigns no policy',
  unreachable: 'does not answer, and there is no copy of its policy',
};

function describeDirectory(directory: DirectoryStatus): string[] {
  const { url, state, error, leftOut = [], lookedAtMs, nextLookAtMs } = directory;
  const at = (ms: number) => new Date(ms).toISOString();
  const times = [
    ...(lookedAtMs === undefined ? [] : [`asked at ${at(lookedAtMs)}`]),
    ...(nextLookAtMs === undefined ? [] : [`again at ${at(nextLookAtMs)}`]),
  ];
  return [
    `Directory       ${url}: ${states[state]}`,
    ...(times.length === 0 ? [] : [`                ${times.join(', ')}`]),
    ...(error === undefined ? [] : [`Directory error ${error}`]),
    ...leftOut.map(text => `Partly applied  ${text}`),
  ];
}
