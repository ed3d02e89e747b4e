/** A node:test reporter that writes each finished test as one JSON line, for `uml-suite.ts` outside to read. */
import type { TestEvent } from 'node:test/reporters';
import type { UmlTest } from '../uml-suite.js';

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const path: string[] = [];
  for await (const event of events) {
    if (event.type === 'test:start') {
      path.length = event.data.nesting;
      path.push(event.data.name);
    }
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    if (event.data.details.type === 'suite') continue;
    const test: UmlTest = {
      name: [...path.slice(0, event.data.nesting), event.data.name].join(' > '),
      milliseconds: Math.round(event.data.details.duration_ms),
      ...(event.data.skip === undefined ? {} : { skipped: String(event.data.skip) }),
      ...(event.type === 'test:fail' ? { error: describe(event.data.details.error) } : {}),
    };
    yield `${JSON.stringify(test)}\n`;
  }
}

function describe(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error;
  return cause.stack ?? cause.message;
}
