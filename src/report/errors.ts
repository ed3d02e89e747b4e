/**
 * Every way a command can end badly: the stable code a script may test, the process exit code, and what the
 * class means. README's exit code table is generated from this one (a test compares them).
 * Codes 1 to 7 are those of `ipsecpol`.
 */
export const errorClasses = {
  USAGE: { exitCode: 1, meaning: 'the command line or a value in it cannot be understood' },
  CONFLICT: {
    exitCode: 2,
    meaning:
      'flags that exclude each other or need another; a name taken; a change somebody else made meanwhile',
  },
  NAME_RESOLUTION: { exitCode: 3, meaning: 'a host name cannot be resolved' },
  AGENT_UNREACHABLE: { exitCode: 4, meaning: 'the policy agent is not running or does not answer' },
  ACCESS_DENIED: { exitCode: 5, meaning: 'missing privilege, or a file that may not be read or written' },
  STORE: { exitCode: 6, meaning: 'a policy or rule is not found, or the store cannot be read or written' },
  UNSUPPORTED: { exitCode: 7, meaning: 'understood, but not supported (yet)' },
  NEGOTIATION_FAILED: { exitCode: 8, meaning: 'the peer answered, and the negotiation failed' },
  NO_RESPONSE: { exitCode: 9, meaning: 'the peer did not answer in time' },
  AUTHENTICATION_FAILED: {
    exitCode: 10,
    meaning:
      'the peers could not authenticate each other: the preshared keys differ, a certificate or a user is refused',
  },
  ENVIRONMENT: {
    exitCode: 11,
    meaning: 'this host cannot do it: a port in use, a missing program, module or device',
  },
  INVALID_POLICY: { exitCode: 12, meaning: 'a policy is well-formed but does not make sense' },
  INTERRUPTED: { exitCode: 130, meaning: 'interrupted by Ctrl-C or a signal' },
  INTERNAL: { exitCode: 70, meaning: 'a fault of ipseckit itself' },
} as const satisfies Record<string, { exitCode: number; meaning: string }>;

/** Stable name of an error class. */
export type ErrorCode = keyof typeof errorClasses;

/** An error a user sees: what went wrong and where (`message`), its stable `code`, and what to do `next`. */
export class IpseckitError extends Error {
  readonly code: ErrorCode;
  /** What to do next, a sentence. */
  readonly next: string | undefined;

  constructor(code: ErrorCode, message: string, options: { next?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'IpseckitError';
    this.code = code;
    this.next = options.next;
  }

  get exitCode(): number {
    return errorClasses[this.code].exitCode;
  }

  /** The shape `--json` prints. */
  toJSON(): { code: ErrorCode; message: string; next?: string; exitCode: number } {
    return {
      code: this.code,
      message: this.message,
      ...(this.next === undefined ? {} : { next: this.next }),
      exitCode: this.exitCode,
    };
  }
}
