import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type LoggedEvent, printEvent } from './audit-text.js';

/** At this size the file becomes `audit.jsonl.1` and a new one begins. */
const rotateAtBytes = 16 * 1024 * 1024;

/** Where audit events go: one JSON line each in a 0600 file, and one text line each to syslog where there is one. */
export class AuditLog {
  readonly path: string;
  readonly #syslog: Syslog | undefined;

  constructor(path: string) {
    this.path = path;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#syslog = existsSync('/dev/log') ? new Syslog() : undefined;
  }

  /** `heldBack` failures before this one were not written, because there were too many. */
  write(event: LoggedEvent, heldBack = 0): void {
    const more = heldBack > 0 ? { heldBack } : {};
    const line = `${JSON.stringify({ at: new Date(event.atMs).toISOString(), ...event, ...more })}\n`;
    if (existsSync(this.path) && statSync(this.path).size + line.length > rotateAtBytes)
      renameSync(this.path, `${this.path}.1`);
    appendFileSync(this.path, line, { mode: 0o600 });
    this.#syslog?.write(printEvent(event).replace(/\n\s*/g, ' '));
  }

  close(): void {
    this.#syslog?.close();
  }
}

/** Syslog through `logger`, because Node has no Unix datagram sockets. A host without it simply has no syslog. */
class Syslog {
  readonly #logger = spawn('logger', ['--tag', 'ipseckit', '--priority', 'auth.info'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  #usable = true;

  constructor() {
    const giveUp = () => {
      this.#usable = false;
    };
    this.#logger.on('error', giveUp).on('exit', giveUp).unref();
    this.#logger.stdin.on('error', giveUp);
  }

  write(line: string): void {
    if (this.#usable) this.#logger.stdin.write(`${line}\n`);
  }

  close(): void {
    if (this.#usable) this.#logger.stdin.end();
  }
}
