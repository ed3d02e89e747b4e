/** `policy import` and `policy export`: between files and the local store. */
import { readFileSync } from 'node:fs';
import { localAddresses } from '../agent/local-addresses.js';
import { policyNotFound, sameName } from '../policy/build.js';
import type { PolicyCollection } from '../policy/document.js';
import type { ExportedFile } from '../policy/export/exported.js';
import { type ExportFormat, exporters } from '../policy/export/formats.js';
import { type Import, type ImportOptions, planImport } from '../policy/import.js';
import type { Policy } from '../policy/model.js';
import type { PolicyNote } from '../policy/note.js';
import { errnoOf, fileError } from '../policy/stores/file-error.js';
import { StoreFormatError } from '../policy/stores/format-error.js';
import { detectFormat, parseStoreFile, printStoreFile, type StoreFormat } from '../policy/stores/formats.js';
import { isAbout, type LoadedPolicies } from '../policy/stores/registry/load.js';
import type { StoreSnapshot } from '../policy/stores/store.js';
import { writeWholeFile } from '../policy/stores/whole-file.js';
import { validatePolicy } from '../policy/validate.js';
import { IpseckitError } from '../report/errors.js';
import { type IpAddress, parseIpAddress } from '../wire/ip/address.js';
import { runScript } from './ipsecpol-script.js';
import { localStore } from './local-store.js';

export const importFormats = ['reg', 'json', 'ipsecpol'] as const;
export const exportFormats = ['reg', 'json', 'ipsecpol', 'swanctl', 'libreswan', 'racoon'] as const;
export type ImportFormat = (typeof importFormats)[number];
export type AnyExportFormat = (typeof exportFormats)[number];

export interface PolicyImport {
  readonly format: ImportFormat;
  readonly policies: readonly {
    readonly id: string;
    readonly name: string;
    readonly rules: number;
    readonly replaced?: boolean;
  }[];
  /** Name of the policy that is assigned by this. */
  readonly assigned?: string;
  readonly notes: readonly PolicyNote[];
}

export interface PolicyExport {
  readonly format: AnyExportFormat;
  readonly policies: readonly string[];
  /** Written to `path`, or with their text when they go to stdout. */
  readonly files: readonly { readonly name: string; readonly path?: string; readonly text?: string }[];
  readonly notes: readonly PolicyNote[];
}

/** Reads a file into the local store, all of it or, with an `IpseckitError`, nothing. `-` is stdin. */
export async function importPolicies(
  path: string,
  format: ImportFormat | undefined,
  options: ImportOptions,
): Promise<PolicyImport> {
  const name = path === '-' ? 'stdin' : path;
  const bytes = readBytes(path, name);
  const known = format ?? inFile(name, () => detectFormat(path, bytes));
  if (known === undefined)
    throw new IpseckitError('USAGE', `${name}: neither its name nor its content says what format it has`, {
      next: `say it with --format ${importFormats.join('|')}`,
    });
  if (known === 'ipsecpol') return importScript(path, options);
  const loaded = inFile(name, () => parseStoreFile(bytes, known, 'rules'));
  const { collection, notes } = loaded;
  if (collection.policies.length === 0)
    throw new IpseckitError('STORE', `${name}: there are no policies in it`, {
      next: 'export the key …\\IPSec\\Policy\\Local with everything below it',
    });
  return localStore().exclusively(async store => {
    const plan = planImport(collection, await store.snapshot(), options);
    const { change, policies, assigned } = plan;
    refuseIncomplete(name, loaded, plan);
    if (assigned !== undefined) refuseInvalid(assigned);
    store.stage(change).commit();
    return {
      format: known,
      policies: policies.map(({ policy, replaced }) => ({ ...summary(policy), replaced })),
      ...(assigned === undefined ? {} : { assigned: assigned.name }),
      notes: [...notes, ...policies.flatMap(({ policy }) => findingNote(policy))],
    };
  });
}

/** Nothing that is there, and nothing that is in force, must protect less because a file is damaged. */
function refuseIncomplete(
  file: string,
  { notes, lostRules }: LoadedPolicies,
  { policies, assigned }: Pick<Import, 'policies' | 'assigned'>,
): void {
  const wanted = policies.filter(({ policy, replaced }) => replaced || policy.id === assigned?.id);
  const lost = lostRules.filter(({ policy }) => wanted.some(each => each.policy.id === policy));
  const note = notes.find(each => isAbout(each, lost));
  if (note === undefined) return;
  throw new IpseckitError('STORE', `${file}: ${note.where}: ${note.text}`, {
    next: 'repair the file; without --assign, and where no such policy is yet, the other rules are imported',
  });
}

export interface ExportRequest {
  /** All policies for a store format, the assigned one for a daemon, when empty. */
  readonly names: readonly string[];
  readonly format: AnyExportFormat;
  /** stdout when absent. */
  readonly output: string | undefined;
  readonly withKeys: boolean;
  /** Addresses of the computer the configuration is for; this computer's when empty. */
  readonly local: readonly string[];
}

/** Writes policies of the local store in another format. Throws `IpseckitError`. */
export async function exportPolicies(request: ExportRequest): Promise<PolicyExport> {
  const { format, output } = request;
  const snapshot = await localStore().snapshot();
  const keys = output !== undefined || request.withKeys ? 'shown' : 'masked';
  const collection = choose(snapshot, request);
  const { files, notes } =
    format === 'reg' || format === 'json'
      ? storeFile(collection, format, keys)
      : daemonFiles(collection.policies, format, { keys, localAddresses: addressesOf(request) });
  const hidden = keys === 'masked' && files.some(({ secret }) => secret) && hasKeys(collection.policies);
  return {
    format,
    policies: collection.policies.map(({ name }) => name),
    files: files.map(file =>
      output === undefined ? { name: file.name, text: file.text } : write(file, output),
    ),
    notes: hidden
      ? [
          ...notes,
          { kind: 'dropped', where: 'preshared keys', text: 'left out; -o FILE or --with-keys writes them' },
        ]
      : notes,
  };
}

type OutputFile = ExportedFile & { readonly bytes?: Uint8Array };
type Output = { readonly files: readonly OutputFile[]; readonly notes: readonly PolicyNote[] };

function storeFile(collection: PolicyCollection, format: StoreFormat, keys: 'shown' | 'masked'): Output {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const { text, bytes, notes } = printStoreFile(collection, format, { keys, nowSeconds });
  return { files: [{ name: `policies.${format}`, suffix: '', text, bytes, secret: true }], notes };
}

function daemonFiles(
  policies: readonly Policy[],
  format: ExportFormat,
  options: { readonly keys: 'shown' | 'masked'; readonly localAddresses: readonly IpAddress[] },
): Output {
  const [first, ...others] = policies.map(policy => exporters[format](policy, options));
  if (first === undefined) throw new RangeError('there is a policy to export');
  const notes = [first, ...others].flatMap(each => each.notes);
  const [main, ...rest] = first.files;
  if (main === undefined || others.length === 0) return { files: first.files, notes };
  // Only scripts come several at once, and they can stand one behind another.
  const text = [main, ...others.flatMap(({ files }) => files)].map(file => file.text).join('\n');
  return { files: [{ ...main, text }, ...rest], notes };
}

function choose(
  { policies, assigned, library, problems }: StoreSnapshot,
  request: ExportRequest,
): PolicyCollection {
  const { names, format } = request;
  const isStore = format === 'reg' || format === 'json';
  const [problem] = problems;
  if (problem !== undefined) throw problem;
  if (names.length === 0 && isStore)
    return {
      policies,
      ...(assigned === undefined ? {} : { assigned }),
      library: library ?? { filterLists: [], actions: [] },
    };
  const chosen =
    names.length === 0
      ? policies.filter(({ id }) => id === assigned)
      : names.map(name => {
          const policy = policies.find(each => sameName(each.name, name));
          if (policy === undefined) throw policyNotFound(name);
          return policy;
        });
  if (chosen.length === 0)
    throw new IpseckitError('STORE', 'no policy is assigned', { next: 'name the policy to export' });
  if (chosen.length > 1 && !isStore && format !== 'ipsecpol')
    throw new IpseckitError('USAGE', `${format} has one configuration at a time, not ${chosen.length}`, {
      next: 'name one policy',
    });
  const isAssigned = chosen.some(({ id }) => id === assigned);
  return {
    policies: chosen,
    ...(assigned === undefined || !isAssigned ? {} : { assigned }),
    library: { filterLists: [], actions: [] },
  };
}

function addressesOf({ local }: ExportRequest): IpAddress[] {
  if (local.length === 0) return localAddresses().map(({ address }) => address);
  return local.map(text => {
    const address = parseIpAddress(text);
    if (address === undefined)
      throw new IpseckitError('USAGE', `--local: '${text}' is no IP address`, { next: 'write an address' });
    return address;
  });
}

function write(file: OutputFile, output: string) {
  const path = `${output}${file.suffix}`;
  writeWholeFile(path, file.bytes ?? file.text, file.secret ? 0o600 : 0o644);
  return { name: file.name, path };
}

async function importScript(path: string, options: ImportOptions): Promise<PolicyImport> {
  if (options.assign || options.replace)
    throw new IpseckitError(
      'CONFLICT',
      `an ipsecpol script cannot be imported with ${options.assign ? '--assign' : '--replace'}`,
      {
        next: 'its own lines say that: -x assigns, -o deletes',
      },
    );
  const result = await runScript(path, () => Promise.resolve(true));
  const notes = result?.notes ?? [];
  return {
    format: 'ipsecpol',
    policies: result?.policies ?? [],
    notes: notes.map(text => ({ kind: 'advice', where: path, text })),
  };
}

function readBytes(path: string, name: string): Uint8Array {
  try {
    return readFileSync(path === '-' ? 0 : path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fileError('read', name, error);
    throw new IpseckitError('USAGE', `the file ${name} is not there`, {
      next: 'check its name',
      cause: error,
    });
  }
}

function inFile<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof StoreFormatError)) throw error;
    throw new IpseckitError('STORE', `${name}: ${error.message}`, {
      next: 'nothing was imported; repair the file or export it anew',
      cause: error,
    });
  }
}

function refuseInvalid(policy: Policy): void {
  const [first, ...others] = validatePolicy(policy).filter(({ severity }) => severity === 'error');
  if (first === undefined) return;
  throw new IpseckitError(
    'INVALID_POLICY',
    `policy '${policy.name}' cannot be assigned: ${[first, ...others].map(({ message }) => message).join('; ')}`,
    { next: `${first.next}; or import it without --assign` },
  );
}

function findingNote(policy: Policy): PolicyNote[] {
  const errors = validatePolicy(policy).filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return [];
  return [
    {
      kind: 'advice',
      where: `policy '${policy.name}'`,
      text: `it cannot be enforced as it is: ${errors.map(({ message }) => message).join('; ')}`,
    },
  ];
}

function hasKeys(policies: readonly Policy[]): boolean {
  return policies.some(({ rules }) =>
    rules.some(({ authentication }) => authentication.some(({ kind }) => kind === 'preshared')),
  );
}

function summary({ id, name, rules }: Policy) {
  return { id, name, rules: rules.length };
}
