import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { IpseckitCommand } from '../../src/cli/base.js';
import { atFlag, crlCheckFlag, passphraseFileFlag, timeOf } from '../../src/cli/certificate-flags.js';
import { type CredentialFlagValues, credentialsAtHand } from '../../src/cli/credentials-at-hand.js';
import { computerOf, readBytes, readPolicyOrFile } from '../../src/cli/policy-source.js';
import { readSecretFile } from '../../src/cli/secret-file.js';
import type { Judging } from '../../src/diag/replay/certificates.js';
import { type IkeKeys, parseIkeKeys } from '../../src/diag/replay/key-table.js';
import type { PolicyAtHand } from '../../src/diag/replay/policy-view.js';
import { replay } from '../../src/diag/replay/replay.js';
import type { ReplayReport, Role } from '../../src/diag/replay/report.js';
import { renderReplay } from '../../src/diag/replay/text.js';
import { IpseckitError } from '../../src/report/errors.js';
import { WireError } from '../../src/wire/bytes.js';

const keyTable = 'ikev1_decryption_table';

export default class IkeReplayCommand extends IpseckitCommand<ReplayReport> {
  static override summary = 'explain the IKE negotiations in a capture, message by message';
  static override description =
    'Reads a capture of any two peers (pcap or pcapng), decodes each IKE message, and says what it led to: what was offered and chosen and how the rest differs, NAT, retransmissions, silence, and why a negotiation failed. Nothing is sent.\n\nWith keys (from "ipseckit capture" or --export-keys) encrypted messages are read too. With a policy it says what that policy would have chosen or refused in the place of each side. Certificates that can be read are judged as "ipseckit cert check" does, with the CAs of this machine or those of --ca, at the time of the capture.';
  static override examples = [
    '<%= config.bin %> ike replay failing.pcap',
    '<%= config.bin %> ike replay office.pcapng --keys office.keys --details',
    '<%= config.bin %> ike replay failing.pcap --policy Servers --local 192.0.2.1',
    '<%= config.bin %> ike replay failing.pcapng --policy servers.json --as responder --cert gw.p12 --ca root.pem',
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
    as: Flags.option({
      options: ['initiator', 'responder'] as const,
      summary: 'look at the policy only in the place of this side',
      dependsOn: ['policy'],
    })(),
    cert: Flags.string({
      summary:
        'certificate the policy authenticates by: a file with its chain (and its key, unless --key), or the name of an imported one; all imported ones when left out',
      helpValue: 'FILE|NAME',
      dependsOn: ['policy'],
    }),
    key: Flags.file({ summary: 'private key of --cert', dependsOn: ['cert'] }),
    'passphrase-file': passphraseFileFlag,
    ca: Flags.file({
      summary: "CA to judge the peers' certificates by, instead of those of this machine",
      multiple: true,
      multipleNonGreedy: true,
    }),
    crl: Flags.file({
      summary: 'revocation list, instead of those of this machine',
      multiple: true,
      multipleNonGreedy: true,
    }),
    'crl-check': crlCheckFlag(),
    at: atFlag({ summary: 'judge certificates at this time instead of that of the capture' }),
    details: Flags.boolean({ summary: 'print every field of every message' }),
  };

  async run(): Promise<ReplayReport> {
    const { args, flags } = await this.parse(IkeReplayCommand);
    const keys = readKeys(flags.keys ?? defaultKeys(args.file));
    const report = replayed(args.file, {
      ...(keys === undefined ? {} : { keys }),
      ...(flags['psk-file'] === undefined ? {} : { presharedKey: readSecretFile(flags['psk-file']) }),
      ...(flags.policy === undefined ? {} : { policy: await policyAtHand(flags.policy, flags) }),
      judging: await judging(flags),
    });
    this.print(renderReplay(report, flags.details).join('\n'));
    return report;
  }
}

/** A capture is read whole. */
const mostBytes = 2 ** 30;

function replayed(path: string, known: Parameters<typeof replay>[1]): ReplayReport {
  if (existsSync(path) && statSync(path).size > mostBytes)
    throw new IpseckitError('UNSUPPORTED', `${path} is larger than 1 GiB`, {
      next: `take its IKE alone: tcpdump -r ${path} -w ike.pcap udp port 500 or udp port 4500`,
    });
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

async function policyAtHand(
  word: string,
  { local, as }: { local?: readonly string[] | undefined; as?: Role | undefined },
): Promise<PolicyAtHand> {
  const policy = await readPolicyOrFile(word);
  const { addresses, localAddresses: _, ...context } = computerOf({ local });
  return {
    policy,
    context,
    ...(local === undefined ? {} : { local: addresses }),
    ...(as === undefined ? {} : { as }),
  };
}

async function judging(flags: CredentialFlagValues & { at?: string | undefined }): Promise<Judging> {
  const credentials = await credentialsAtHand(flags);
  return { credentials, ...(flags.at === undefined ? {} : { atMs: timeOf(flags.at) }) };
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
