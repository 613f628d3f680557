import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Type from 'typebox';
import { secretCharsMin } from './access.ts';
import { readConfig } from './config.ts';
import {
  announcedHost,
  announcedHostIssues,
  announcedHostSettings,
  count,
  crashPlanIssues,
  hostList,
  ms,
  port,
  postgresUrl,
  serviceSettings,
  znodePath,
} from './settings.ts';

const MESH_SECRET = 's'.repeat(secretCharsMin);

describe('shared settings', () => {
  it('a service that sets only the secret gets the defaults', () => {
    const config = readConfig(Type.Object(serviceSettings), { MESH_SECRET });
    assert.deepEqual(
      { ...config },
      { MESH_SECRET, HTTP_HOST: '127.0.0.1', HTTP_PORT: 0, LOG_LEVEL: 'info', STOP_TIMEOUT_MS: 10_000 },
    );
    assert.throws(() => readConfig(Type.Object(serviceSettings), { MESH_SECRET: 'short' }), /MESH_SECRET/);
  });

  it('a service overrides a default by a property behind the group', () => {
    const Settings = Type.Object({ ...serviceSettings, HTTP_PORT: port(8081) });
    assert.equal(readConfig(Settings, { MESH_SECRET }).HTTP_PORT, 8081);
  });

  it('each kind of setting refuses a value outside its limits', () => {
    const Settings = Type.Object({
      PAUSE_MS: ms(5, 'A pause.'),
      DELAY_MS: ms(5, 'A delay that may be left out.', { minimum: 0 }),
      ROWS_MAX: count(5, 'Rows.', { maximum: 9 }),
      PORT: port(80),
      HOSTS: hostList('Servers.'),
      PATH: znodePath('/a', 'Root.'),
      DATABASE_URL: postgresUrl(),
    });
    const HOSTS = 'a:1,b:2';
    const DATABASE_URL = 'postgres://localhost/x';
    assert.deepEqual(
      { ...readConfig(Settings, { HOSTS, DATABASE_URL, DELAY_MS: '0' }) },
      { PAUSE_MS: 5, DELAY_MS: 0, ROWS_MAX: 5, PORT: 80, HOSTS, PATH: '/a', DATABASE_URL },
    );
    for (const bad of [
      { PAUSE_MS: '0' },
      { DELAY_MS: '-1' },
      { ROWS_MAX: '0' },
      { ROWS_MAX: '10' },
      { PORT: '65536' },
      { HOSTS: 'a' },
      { HOSTS: 'http://a:1' },
      { PATH: 'a' },
      { PATH: '/a/' },
      { DATABASE_URL: 'mysql://x' },
    ])
      assert.throws(
        () => readConfig(Settings, { HOSTS, DATABASE_URL, ...bad }),
        { code: 'config.invalid' },
        JSON.stringify(bad),
      );
  });
});

describe('cross-checks of shared settings', () => {
  it('a crash point must be a known one', () => {
    assert.deepEqual(crashPlanIssues({}), []);
    assert.deepEqual(crashPlanIssues({ CRASH_POINT: 'gateway.after-commit:2' }), []);
    assert.match(crashPlanIssues({ CRASH_POINT: 'nowhere' })[0] ?? '', /^CRASH_POINT: unknown crash point/);
  });

  it('the announced host is HTTP_HOST unless that is a wildcard address', () => {
    assert.equal(announcedHost({ HTTP_HOST: '10.0.0.1' }), '10.0.0.1');
    assert.equal(announcedHost({ HTTP_HOST: '0.0.0.0', ANNOUNCED_HOST: 'billing-1' }), 'billing-1');
    for (const HTTP_HOST of ['0.0.0.0', '::']) {
      assert.equal(announcedHost({ HTTP_HOST }), undefined);
      assert.match(announcedHostIssues({ HTTP_HOST })[0] ?? '', /ANNOUNCED_HOST/);
    }
    assert.deepEqual(announcedHostIssues({ HTTP_HOST: '10.0.0.1' }), []);
    const Settings = Type.Object(announcedHostSettings);
    assert.throws(() => readConfig(Settings, { ANNOUNCED_HOST: 'http://billing-1' }), /ANNOUNCED_HOST/);
  });
});
