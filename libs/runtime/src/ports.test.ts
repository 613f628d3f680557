import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { describePortHolder, portError, portHolder } from './ports.ts';

const withoutProc = existsSync('/proc/net/tcp') ? false : 'this system has no /proc';

describe('the holder of a port', () => {
  it(
    'a taken port is reported in one line with its setting and its holder',
    { skip: withoutProc },
    async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      try {
        const taken = createServer().listen(port, '127.0.0.1');
        const [cause] = (await once(taken, 'error')) as [Error];
        const error = portError(cause, port, 'HTTP_PORT');
        assert.equal(error?.code, 'port.taken');
        assert.match(
          error.message,
          new RegExp(`^port ${port} \\(HTTP_PORT\\) is taken by process ${process.pid} \\(`),
        );
        assert.ok(error.message.includes('ports.test.ts') && !error.message.includes('\n'), error.message);
      } finally {
        server.close();
      }
      await once(server, 'close');
      assert.equal(portHolder(port), undefined);
      assert.equal(describePortHolder(port), 'another process');
    },
  );

  it('an error that is not about the port stays as it is', () => {
    assert.equal(portError(new Error('else'), 1, 'HTTP_PORT'), undefined);
    const denied = Object.assign(new Error('denied'), { code: 'EACCES' });
    assert.match(portError(denied, 80, 'HTTP_PORT')?.message ?? '', /port 80 \(HTTP_PORT\)/);
  });
});
