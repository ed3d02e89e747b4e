/**
 * The contract with scripts: every command, its arguments and flags, as checked in. After a wanted change:
 * `IPSECKIT_UPDATE=1 node --test dist/test/cli/commands.test.js`, and look at the diff.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';

const snapshotFile = 'test/fixtures/commands.json';

async function commands() {
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  const plugin = new Plugin({ root, type: 'core', ignoreManifest: true, errorOnManifestCreate: true });
  await plugin.load();
  return Object.values(plugin.manifest.commands)
    .map(({ id, args, flags }) => ({
      command: id.replaceAll(':', ' '),
      arguments: Object.keys(args ?? {}),
      flags: Object.values(flags ?? {})
        .map(
          ({ name, type, required }) =>
            `--${name}${type === 'option' ? '=…' : ''}${required ? ' (required)' : ''}`,
        )
        .sort(),
    }))
    .sort((a, b) => (a.command < b.command ? -1 : 1));
}

test('commands, arguments and flags are the ones checked in', async () => {
  const now = await commands();
  if (process.env.IPSECKIT_UPDATE) writeFileSync(snapshotFile, `${JSON.stringify(now, null, 2)}\n`);
  assert.deepEqual(now, JSON.parse(readFileSync(snapshotFile, 'utf8')));
});
