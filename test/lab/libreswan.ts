/** libreswan as a judge of configurations: unpacked by `test/lab/install`, never installed, never run as a daemon. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandResult } from '../support/namespaces.js';
import { attempt } from './command.js';

/** Where `test/lab/install` puts it. */
export const unpacked = '/usr/local/lib/ipseckit-lab/libreswan';
export const programs = `${unpacked}/usr/libexec/ipsec`;

/** For a suite's `skip` option, as `needs` gives it. */
export function needsLibreswan(): string | false {
  if (['addconn', 'algparse'].every(program => existsSync(join(programs, program)))) return false;
  const reason = 'needs libreswan, unpacked (test/lab/install brings it)';
  if (process.env.CI === 'true') throw new Error(reason);
  return reason;
}

/** What `addconn --checkconfig` says of an `ipsec.conf`; status 0 when it could be loaded. */
export async function checkConfiguration(text: string): Promise<CommandResult> {
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-libreswan-'));
  try {
    const file = join(folder, 'ipsec.conf');
    writeFileSync(file, text);
    return await attempt([join(programs, 'addconn'), '--config', file, '--checkconfig', '--verbose']);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What libreswan's own parser says of IKEv1 proposals, `ike=3des-sha1-modp2048`; status 0 when it knows all of them. */
export function checkProposals(proposals: readonly string[], pfs: boolean): Promise<CommandResult> {
  return attempt([join(programs, 'algparse'), '-v1', `-pfs=${pfs ? 'yes' : 'no'}`, ...proposals]);
}
