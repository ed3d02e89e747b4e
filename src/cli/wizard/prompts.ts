/** The questions a wizard can ask. Tests answer them from a list, people through inquirer. */

export interface Choice<T extends string = string> {
  readonly name: string;
  readonly value: T;
  readonly checked?: boolean;
}

/** True, or what is wrong with an answer. */
export type Validate = (text: string) => true | string;

export interface Prompts {
  input(question: { message: string; default?: string; validate?: Validate }): Promise<string>;
  /** Like `input`, and nothing of the answer is shown. */
  password(question: { message: string; validate?: Validate }): Promise<string>;
  confirm(question: { message: string; default: boolean }): Promise<boolean>;
  select<T extends string>(question: {
    message: string;
    choices: readonly Choice<T>[];
    default?: T;
  }): Promise<T>;
  /** At least one. */
  checkbox(question: { message: string; choices: readonly Choice[] }): Promise<readonly string[]>;
}

/** The person has left in the middle (Ctrl-C). */
export class WizardLeft extends Error {}

/** Turns what a parser throws into what a prompt says. */
export function validating(parse: (text: string) => unknown): Validate {
  return text => {
    try {
      parse(text);
      return true;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
}

/** Whether there is somebody to ask. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** Questions on the terminal; they go to stderr, so that stdout has the result only. */
export async function terminalPrompts(): Promise<Prompts> {
  // Loaded only when something is asked.
  const { default: inquirer } = await import('inquirer');
  const prompt = inquirer.createPromptModule({ output: process.stderr });
  const ask = async <T>(answers: Promise<{ readonly answer: T }>): Promise<T> => {
    try {
      return (await answers).answer;
    } catch (error) {
      if (error instanceof Error && error.name === 'ExitPromptError') throw new WizardLeft();
      throw error;
    }
  };
  const name = 'answer' as const;
  return {
    input: question => ask(prompt([{ type: 'input', name, ...question }])),
    password: question => ask(prompt([{ type: 'password', name, mask: false, ...question }])),
    confirm: question => ask(prompt([{ type: 'confirm', name, ...question }])),
    select: async ({ choices, ...question }) => {
      const names = choices.map(choice => ({ name: choice.name, value: String(choice.value) }));
      const answer = await ask(prompt([{ type: 'select', name, ...question, choices: names }]));
      const chosen = choices.find(({ value }) => value === answer);
      if (chosen === undefined) throw new Error(`no choice is ${answer}`);
      return chosen.value;
    },
    checkbox: question =>
      ask(prompt([{ type: 'checkbox', name, required: true, ...question, choices: [...question.choices] }])),
  };
}
