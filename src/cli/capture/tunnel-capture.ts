/** The capture that goes with a tunnel: from its first IKE message on, with its keys. */
import type { ExportedKeys } from '../../ike/api.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { asIpseckitError } from '../errors.js';
import { Capture, type CaptureEnd, type CaptureSummary } from './capture.js';
import { describeCapture, keyWarning } from './capture-text.js';
import { capturePaths } from './wireshark-folder.js';

/** What goes wrong with it is said and does not touch the tunnel. */
export class TunnelCapture {
  readonly #capture: Capture;

  /** Warns, and records what goes to and from `peer`. Throws `IpseckitError` as `Capture` does. */
  constructor(name: string, peer: IpAddress, application: string) {
    const paths = capturePaths(name, new Date());
    this.#capture = new Capture({ paths, withKeys: true, application, filter: { peer } });
    this.#capture.ended.catch(complain);
    say(keyWarning(paths));
    say(`Recording into ${paths.file}.`);
  }

  addKeys(keys: ExportedKeys): void {
    this.#capture.addKeys(keys);
  }

  /** Records what crosses a device in clear, too. */
  watchInner(device: string): void {
    try {
      this.#capture.watchInner(device);
    } catch (error) {
      complain(error);
    }
  }

  /** Ends it, and says what it came to; `undefined` when the file could not be ended. */
  async end(endedBy: CaptureEnd): Promise<CaptureSummary | undefined> {
    try {
      const summary = await this.#capture.close(endedBy);
      for (const line of describeCapture(summary)) say(line);
      return summary;
    } catch (error) {
      complain(error);
      return undefined;
    }
  }
}

function complain(error: unknown): void {
  say(`capture: ${asIpseckitError(error).message}`);
}

/** Standard output belongs to the command that runs in the tunnel. */
function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
