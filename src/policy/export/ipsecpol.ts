/** A policy as a script of `ipsecpol` lines that build it again. */
import { policyCommands } from '../ipsecpol/lines.js';
import { printIpsecpol } from '../ipsecpol/print.js';
import type { Policy, Rule } from '../model.js';
import { NoteBook } from '../note.js';
import { commentText, type Exported, type ExportOptions } from './exported.js';

/** The script of one policy, for `ipsecpol -file`. What the command line has no words for is noted. */
export function exportIpsecpol(policy: Policy, { keys }: ExportOptions): Exported {
  const notes = new NoteBook();
  const commands = policyCommands(withNamesOnce(policy, notes), { notes });
  const secrets = keys === 'shown' ? 'shown' : 'masked';
  const text = [
    `# IP Security policy '${commentText(policy.name)}', by ipseckit policy export --format ipsecpol`,
    ...commands.map(command =>
      ['ipsecpol', ...printIpsecpol(command, { secrets })].map(scriptWord).join(' '),
    ),
    '',
  ].join('\n');
  return { files: [{ name: 'policy.ipsecpol', suffix: '', text, secret: true }], notes: notes.notes };
}

/** A second rule of a name would change the first. */
function withNamesOnce(policy: Policy, notes: NoteBook): Policy {
  const taken = new Set<string>();
  const rules = policy.rules.map((rule): Rule => {
    const key = rule.name?.toLowerCase();
    if (key === undefined || !taken.has(key)) {
      if (key !== undefined) taken.add(key);
      return rule;
    }
    notes
      .in(`policy '${policy.name}'`)
      .in(`rule '${rule.name}'`)
      .add('changed', 'another rule has its name, so this one has none');
    const { name: _, ...unnamed } = rule;
    return unnamed;
  });
  return { ...policy, rules };
}

/** A word as cmd.exe and `-file` read it: in double quotes where it is not plain. */
function scriptWord(word: string): string {
  if (/^[\w=+*:,./-]+$/.test(word)) return word;
  return `"${word.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, '$1$1')}"`;
}
