import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isPostmasterOf, parsePostmasterFile } from './pid-file.ts';
import { unprivilegedUser } from './place.ts';

describe('postmaster.pid', () => {
  it('postmaster.pid is parsed into pid, folder and port', () => {
    const text = '4711\n/data/pg\n1700000000\n5433\n\n127.0.0.1\n';
    assert.deepEqual(parsePostmasterFile(text), { pid: 4711, dataDir: '/data/pg', port: 5433 });
  });

  it('a postmaster.pid that is cut short names no server', () => {
    for (const text of ['', '4711', '4711\n/data', 'x\n/data\n1\n2\n'])
      assert.equal(parsePostmasterFile(text), undefined);
  });

  it('only a postmaster on exactly this folder counts as its server', () => {
    assert.equal(isPostmasterOf('/x/bin/postgres -D /data/pg -p 5433 -c fsync=on', '/data/pg'), true);
    assert.equal(isPostmasterOf('/x/bin/postgres -D /data/pg2 -p 5433', '/data/pg'), false);
    assert.equal(isPostmasterOf('vi /data/pg -D /data/pg ', '/data/pg'), false);
    assert.equal(isPostmasterOf('node server.js', '/data/pg'), false);
  });
});

describe('unprivileged user', () => {
  it('the unprivileged user is "postgres" or "nobody", or the error is clear', () => {
    const passwd = 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533:n:/:/x\n';
    assert.deepEqual(unprivilegedUser(passwd), { name: 'nobody', uid: 65534, gid: 65533 });
    assert.equal(unprivilegedUser(`${passwd}postgres:x:101:104::/:/x\n`).name, 'postgres');
    assert.throws(() => unprivilegedUser('root:x:0:0::/root:/bin/sh\n'), { code: 'postgres.no_user' });
  });
});
