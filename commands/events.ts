import { existsSync } from 'node:fs';
import { Flags } from '@oclif/core';
import { eventIds, type LoggedEvent, printEvent } from '../src/agent/audit-text.js';
import { auditFilePath } from '../src/agent/paths.js';
import { IpseckitCommand } from '../src/cli/base.js';
import { readEvents } from '../src/monitor/events.js';
import { ipseckitHome } from '../src/policy/stores/home.js';
import { IpseckitError } from '../src/report/errors.js';
import { type IpAddress, parseIpAddress } from '../src/wire/ip/address.js';

export default class EventsCommand extends IpseckitCommand<readonly LoggedEvent[]> {
  static override summary =
    'show events: SAs established and ended, why negotiations failed (541 to 547), which policy is in force (5456 to 5468)';
  static override examples = [
    '<%= config.bin %> events --id 547',
    '<%= config.bin %> events --peer 192.0.2.2 --last 5',
  ];
  static override flags = {
    last: Flags.integer({ summary: 'the newest this many', default: 20, min: 1 }),
    id: Flags.integer({
      summary: 'only events of this id',
      multiple: true,
      multipleNonGreedy: true,
    }),
    peer: Flags.string({ summary: 'only events about this peer', helpValue: 'ADDRESS' }),
  };

  async run(): Promise<readonly LoggedEvent[]> {
    const { flags } = await this.parse(EventsCommand);
    const unknown = flags.id?.find(id => !eventIds.includes(id));
    if (unknown !== undefined)
      throw new IpseckitError('USAGE', `--id ${unknown}: no event has this id`, {
        next: `the ids are ${eventIds.join(', ')}`,
      });
    const path = auditFilePath(ipseckitHome());
    const { events, unreadable } = readEvents(path, {
      last: flags.last,
      ...(flags.id === undefined ? {} : { ids: flags.id }),
      ...(flags.peer === undefined ? {} : { peer: peerAddress(flags.peer) }),
    });
    for (const event of events) this.print(`${new Date(event.atMs).toISOString()} ${printEvent(event)}`);
    if (events.length === 0) this.print(existsSync(path) ? 'No events match.' : `No events yet (${path}).`);
    if (unreadable > 0) this.logToStderr(`${unreadable} lines of ${path} are no events and were left out`);
    return events;
  }
}

function peerAddress(text: string): IpAddress {
  const address = parseIpAddress(text);
  if (address !== undefined) return address;
  throw new IpseckitError('USAGE', `--peer: '${text}' is no IP address`, { next: 'write an address' });
}
