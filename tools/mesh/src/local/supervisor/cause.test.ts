import assert from 'node:assert/strict';
import { appendFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '@thermomesh/testing';
import { causeIn, isPermanent, sizeOf } from './cause.ts';

const fatal = (message: string) =>
  `${JSON.stringify({ level: 'fatal', event: 'process.start_failed', err: { message }, msg: message })}\n`;

describe('cause of a failed start', () => {
  it('a fatal log entry of this start names the cause, not one of an earlier start', async () => {
    await using place = await temporaryFolder('cause');
    const log = path.join(place.folder, 'gateway.log');
    assert.equal(causeIn(log, sizeOf(log)), undefined);
    writeFileSync(log, fatal('an old cause'));
    const offset = sizeOf(log);
    assert.equal(causeIn(log, offset), undefined);
    appendFileSync(log, `${fatal('port 1883 (MQTT_PORT) is taken')}{"level":"info","msg":"later"}\n`);
    assert.equal(causeIn(log, offset), 'port 1883 (MQTT_PORT) is taken');
  });

  it('issues of the configuration are shown whole, and no other start would mend them', async () => {
    await using place = await temporaryFolder('cause');
    const log = path.join(place.folder, 'gateway.log');
    const said = 'configuration has 2 issues:\n  A must be true or false, not "x"\n  B is required';
    writeFileSync(log, `(node:1) Warning: something\n${said}\n`);
    assert.equal(causeIn(log, 0), said);
    assert.ok(isPermanent(said));
    assert.ok(!isPermanent('port 1883 (MQTT_PORT) is taken'));
  });

  it('an uncaught error is shown without its stack', async () => {
    await using place = await temporaryFolder('cause');
    const log = path.join(place.folder, 'gateway.log');
    writeFileSync(log, 'node:fs:1\nError: no such module\n    at load (node:fs:1:2)\n\nNode.js v24.1.0\n');
    assert.equal(causeIn(log, 0), 'Error: no such module');
  });
});
