import assert from 'node:assert/strict';
import { it } from 'node:test';
import { assertDurable, assertSessions, durabilityIssue, type ConnectionFacts } from './durability.ts';

const safe: ConnectionFacts = {
  fsync: 'on',
  fullPageWrites: 'on',
  synchronousCommit: 'on',
  sources: {},
  standbys: '',
  role: 'ann',
  database: 'mesh',
  session: '1@now',
};

it('each setting that loses commits is named with what to change', () => {
  const cases: [Partial<ConnectionFacts>, RegExp][] = [
    [{ fsync: 'off' }, /^fsync is off.*ALTER SYSTEM SET fsync = on, then SELECT pg_reload_conf/],
    [{ fsync: 'off', sources: { fsync: 'command line' } }, /fsync out of the command line of the server$/],
    [{ fullPageWrites: 'off' }, /^full_page_writes is off.*ALTER SYSTEM SET full_page_writes = on/],
    [{ synchronousCommit: 'off' }, /^synchronous_commit is off.*ALTER SYSTEM SET synchronous_commit = on/],
    [
      { synchronousCommit: 'off', sources: { synchronous_commit: 'user' }, role: 'a"b' },
      /ALTER ROLE "a""b" RESET synchronous_commit$/,
    ],
    [
      { synchronousCommit: 'off', sources: { synchronous_commit: 'database' } },
      /ALTER DATABASE "mesh" RESET synchronous_commit$/,
    ],
    [
      { synchronousCommit: 'off', sources: { synchronous_commit: 'database user' } },
      /ALTER ROLE "ann" IN DATABASE "mesh" RESET synchronous_commit$/,
    ],
    [
      { synchronousCommit: 'off', sources: { synchronous_commit: 'client' } },
      /take synchronous_commit out of DATABASE_URL and PGOPTIONS$/,
    ],
    [{ synchronousCommit: 'local', standbys: 'b' }, /^synchronous_commit is local, so a failover/],
    [{ synchronousCommit: 'remote_write', standbys: 'b' }, /^synchronous_commit is remote_write/],
  ];
  for (const [change, wanted] of cases) assert.match(durabilityIssue({ ...safe, ...change }) ?? '', wanted);
  assert.throws(() => assertDurable({ ...safe, fsync: 'off', synchronousCommit: 'off' }), {
    code: 'sql.not_durable',
    retriable: true,
    message: /fsync is off.*; synchronous_commit is off/,
  });
});

it('settings that keep a commit on the disk of this server are accepted', () => {
  for (const synchronousCommit of ['on', 'remote_apply', 'remote_write', 'local'])
    assert.equal(durabilityIssue({ ...safe, synchronousCommit }), undefined);
  for (const synchronousCommit of ['on', 'remote_apply'])
    assert.equal(durabilityIssue({ ...safe, synchronousCommit, standbys: 'ANY 1 (b)' }), undefined);
});

it('connections that change or share their session are refused', () => {
  assertSessions([
    ['1', '1'],
    ['2', '2'],
  ]);
  for (const answers of [
    [
      ['1', '1'],
      ['1', '1'],
    ],
    [
      ['1', '2'],
      ['3', '3'],
    ],
    [
      ['1', '1'],
      ['2', '1'],
    ],
  ])
    assert.throws(() => assertSessions(answers), {
      code: 'sql.not_a_session',
      message: /pool_mode = session/,
    });
});
