import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { describe, test } from 'node:test';
import { httpGet } from '../../src/agent/http-get.js';

const limits = { timeoutMs: 300, maxBytes: 1_000, nearby: true };

/** Serves on loopback while `work` runs with the address. */
async function serving(listener: RequestListener, work: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  try {
    await work(`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/a.crl`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('HTTP GET', () => {
  test('the body of a good answer', () =>
    serving(
      (request, response) => response.end(`it is ${request.url}`),
      async url => assert.equal(Buffer.from(await httpGet(url, limits)).toString(), 'it is /a.crl'),
    ));

  test('another status than 200, a redirection too', async () => {
    for (const status of [404, 302, 500])
      await serving(
        (_, response) => response.writeHead(status, { location: '/elsewhere' }).end(),
        url => assert.rejects(httpGet(url, limits), new RegExp(`HTTP status ${status}`)),
      );
  });

  test('too long, by what is said and by what comes', () =>
    serving(
      (_, response) => response.end(Buffer.alloc(1_001)),
      url => assert.rejects(httpGet(url, limits), /more than 1000 bytes/),
    ));

  test('an endless answer, and none at all', async () => {
    const drip: RequestListener = (_, response) => {
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    };
    for (const listener of [drip, () => {}])
      await serving(listener, url => assert.rejects(httpGet(url, limits), /no answer within 0.3 s/));
  });

  test('nobody there', () => assert.rejects(httpGet('http://127.0.0.1:9/', limits), /ECONNREFUSED/));

  test('this host, its link and other protocols are not asked', async () => {
    for (const host of [
      '127.0.0.1',
      '[::1]',
      '169.254.169.254',
      '[fe80::1]',
      '[::ffff:127.0.0.1]',
      '0.0.0.0',
    ])
      await assert.rejects(httpGet(`http://${host}/`, { ...limits, nearby: false }), /is not asked/, host);
    await assert.rejects(httpGet('http://localhost/', { ...limits, nearby: false }), /is not asked/);
    await assert.rejects(httpGet('file:///etc/passwd', limits), /only http/);
    await assert.rejects(httpGet('no address', limits), /Invalid URL/);
  });
});
