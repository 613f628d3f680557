import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  classifySqlError,
  DataRefusedError,
  SqlStatementError,
  SqlUnavailableError,
  StaleEpochError,
} from './errors.ts';

const driverError = (code?: string) => Object.assign(new Error('x'), code === undefined ? {} : { code });

it('SQL errors are classified by what the caller can do', () => {
  const cases: [string | undefined, new (...args: never[]) => Error][] = [
    ['TM001', StaleEpochError],
    ['22003', DataRefusedError],
    ['23505', DataRefusedError],
    ['08006', SqlUnavailableError],
    ['57P01', SqlUnavailableError],
    ['53300', SqlUnavailableError],
    ['55P03', SqlUnavailableError],
    ['25006', SqlUnavailableError],
    ['ECONNREFUSED', SqlUnavailableError],
    [undefined, SqlUnavailableError],
    ['42P01', SqlStatementError],
    ['TM002', SqlStatementError],
  ];
  for (const [code, expected] of cases)
    assert.ok(classifySqlError(driverError(code)) instanceof expected, String(code));
});

it('only a temporary SQL error is retriable', () => {
  assert.equal(classifySqlError(driverError('ECONNRESET')).retriable, true);
  for (const code of ['TM001', '22003', '42P01'])
    assert.equal(classifySqlError(driverError(code)).retriable, false);
});

it('an SQL error is classified once', () => {
  const error = classifySqlError(driverError('TM001'));
  assert.equal(classifySqlError(error), error);
});
