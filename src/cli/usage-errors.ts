/** oclif's complaints about a command line, in our words and with what was most likely meant. */
import type { Config, Errors } from '@oclif/core';
import { distance } from 'fastest-levenshtein';
import { IpseckitError } from '../report/errors.js';

const seeHelp = '--help shows how the command is used';

/** A command line that names no command. `argv` is all that follows the program's name. */
export function unknownCommand(argv: readonly string[], { bin, commandIDs, topics }: Config): IpseckitError {
  const firstFlag = argv.findIndex(word => word.startsWith('-'));
  const words = firstFlag < 0 ? argv : argv.slice(0, firstFlag);
  const [best] = commandIDs
    .map(id => id.split(':'))
    .map(id => ({
      id: id.join(' '),
      typed: words.slice(0, id.length).join(' '),
      rest: words.slice(id.length),
    }))
    .filter(({ id, typed }) => isAlike(typed, id))
    .sort((a, b) => distance(a.typed, a.id) - distance(b.typed, b.id));
  if (best !== undefined && best.typed === best.id)
    return usage(`"${bin} ${best.id}" takes no argument '${best.rest.join(' ')}'`, seeHelp);
  if (best !== undefined)
    return usage(`there is no command '${best.typed}'`, `did you mean "${bin} ${best.id}"?`);
  const [topic = '', word] = words;
  return topics.some(({ name }) => name === topic) && word !== undefined
    ? usage(`there is no command '${topic} ${word}'`, `"${bin} ${topic}" lists what there is`)
    : usage(`there is no command '${topic}'`, `"${bin} --help" lists what there is`);
}

/** Any other complaint of oclif; `flags` are the names of those that the command has. */
export function usageError({ message }: Errors.CLIError, flags: readonly string[]): IpseckitError {
  const [, flag] = /^Nonexistent flags?: ([^\s,]+)/.exec(message) ?? [];
  if (flag === undefined) return usage(inOurWords(message), seeHelp);
  const [meant] = flags
    .map(name => `--${name}`)
    .filter(name => name.startsWith(flag) || isAlike(flag, name))
    .sort((a, b) => distance(flag, a) - distance(flag, b));
  return usage(
    `there is no flag '${flag}'`,
    meant === undefined ? seeHelp : `did you mean ${meant}? ${seeHelp}`,
  );
}

/** At most every third letter is another, missing or too many. */
function isAlike(typed: string, known: string): boolean {
  return distance(typed, known) <= Math.floor(known.length / 3);
}

/** Without oclif's own hints, which follow the message, and beginning like our messages. */
function inOurWords(message: string): string {
  const [text = ''] = message.split(/\s*(?:See more help with --help|\n\nNote: )/);
  return text
    .trim()
    .replace(/^Missing 1 required arg:\n(\S+)\s+/, "the argument '$1' is missing: ")
    .replace(/^Missing \d+ required args:/, 'arguments are missing:')
    .replace(/^Unexpected argument/, 'unexpected argument')
    .replace(/^Flag (\S+) expects a value/, '$1 needs a value')
    .replace(/^Expected (\S+?)=(\S*) to be one of: /, "$1 '$2' is none of: ");
}

function usage(message: string, next: string): IpseckitError {
  return new IpseckitError('USAGE', message, { next });
}
