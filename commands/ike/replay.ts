import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { IpseckitCommand } from '../../src/cli/base.js';
import { computerOf, readBytes, readPolicyOrFile } from '../../src/cli/policy-source.js';
import { readSecretFile } from '../../src/cli/secret-file.js';
import { type IkeKeys, parseIkeKeys } from '../../src/diag/replay/key-table.js';
import type { PolicyAtHand } from '../../src/diag/replay/policy-view.js';
import { replay } from '../../src/diag/replay/replay.js';
import type { ReplayReport } from '../../src/diag/replay/report.js';
import { renderReplay } from '../../src/diag/replay/text.js';
import { IpseckitError } from '../../src/report/errors.js';
import { WireError } from '../../src/wire/bytes.js';

const keyTable = 'ikev1_decryption_table';

export default class IkeReplayCommand extends IpseckitCommand<ReplayReport> {
  static override summary = 'explain the IKE negotiations in a capture, message by message';
  static override description =
    'Reads a capture of any two peers (pcap or pcapng), decodes each IKE message, and says what it led to: what was offered and chosen and how the rest differs, NAT, retransmissions, silence, and why a negotiation failed. Nothing is sent.\n\nWith keys (from "ipseckit capture" or --export-keys) encrypted messages are read too. With a policy it says what that policy would have chosen or refused in the place of each side.';
  static override examples = [
    '<%= config.bin %> ike replay failing.pcap',
    '<%= config.bin %> ike replay office.pcapng --keys office.keys --details',
    '<%= config.bin %> ike replay failing.pcap --policy Servers --local 192.0.2.1',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'a capture, pcap or pcapng' }),
  };
  static override flags = {
    keys: Flags.string({
      summary: `a folder with Wireshark's ${keyTable}, or that file; FILE without its ending and ".keys" when that is there`,
      helpValue: 'PATH',
    }),
    'psk-file': Flags.string({
      summary: 'check whether each side proved itself with the preshared key in this file',
      helpValue: 'FILE',
    }),
    policy: Flags.string({
      summary: 'say what this policy would have done; a stored one or a file (.json or .reg)',
      helpValue: 'NAME|FILE',
    }),
    local: Flags.string({
      summary: 'look at the policy only from the side with this address',
      helpValue: 'ADDRESS',
      multiple: true,
      multipleNonGreedy: true,
    }),
    details: Flags.boolean({ summary: 'print every field of every message' }),
  };

  async run(): Promise<ReplayReport> {
    const { args, flags } = await this.parse(IkeReplayCommand);
    const keys = readKeys(flags.keys ?? defaultKeys(args.file));
    const report = replayed(args.file, {
      ...(keys === undefined ? {} : { keys }),
      ...(flags['psk-file'] === undefined ? {} : { presharedKey: readSecretFile(flags['psk-file']) }),
      ...(flags.policy === undefined ? {} : { policy: await policyAtHand(flags.policy, flags.local) }),
    });
    this.print(...renderReplay(report, flags.details));
    return report;
  }
}

function replayed(path: string, known: Parameters<typeof replay>[1]): ReplayReport {
  try {
    return replay(readBytes(path), known);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new IpseckitError('USAGE', `${path}: ${error.message}`, {
      next: 'name a file that tcpdump, Wireshark or "ipseckit capture" has written',
      cause: error,
    });
  }
}

async function policyAtHand(word: string, local: readonly string[] | undefined): Promise<PolicyAtHand> {
  const policy = await readPolicyOrFile(word);
  const { addresses, localAddresses: _, ...context } = computerOf({ local });
  return { policy, context, ...(local === undefined ? {} : { local: addresses }) };
}

function defaultKeys(capture: string): string | undefined {
  const beside = `${capture.replace(/\.(pcapng|pcap)$/i, '')}.keys`;
  return existsSync(beside) ? beside : undefined;
}

/** Throws `IpseckitError` (USAGE) naming the file and the line. */
function readKeys(path: string | undefined): IkeKeys | undefined {
  if (path === undefined) return undefined;
  const isFolder = existsSync(path) && statSync(path).isDirectory();
  const file = isFolder ? join(path, keyTable) : path;
  // A capture without IKE has no table in its folder.
  if (isFolder && !existsSync(file)) return new Map();
  try {
    return parseIkeKeys(Buffer.from(readBytes(file)).toString('utf8'));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new IpseckitError('USAGE', `${file}: ${error.message}`, {
      next: `name a folder that "ipseckit capture" made, or a Wireshark profile with ${keyTable}`,
      cause: error,
    });
  }
}
