import type { Host } from '../support/namespaces.js';

/** What peers and traffic need of a host: a network namespace here, or a machine with a kernel of its own. */
export type LabHost = Pick<Host, 'name' | 'run' | 'execute' | 'spawn' | 'connect'>;
