import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { namesIn, notedLinks, presentLinks } from './links.ts';

const id = (first: string) => first.padEnd(64, '0');

it('the links of an engine are read from its store, each once', () => {
  const store = [
    `\0\u0001docker/network/v1.0/network/${id('828a7912990b')}/{"name":"data"}\0`,
    `docker/network/v1.0/network/${id('828a7912990b')}/`,
    `docker/network/v1.0/endpoint_count/${id('ffffffffffff')}/`,
    `docker/network/v1.0/bridge-endpoint/${id('0e')}/{"SrcName":"veth61316d0","MacAddress":"02:42"}`,
    '"SrcName":"eth0"',
  ].join('\u0007');
  assert.deepEqual(namesIn(store), ['br-828a7912990b', 'veth61316d0']);
});

it('an engine that never ran has no links', () => assert.deepEqual(notedLinks('/nowhere'), []));

it('of the noted links only those that exist count, and what is plugged into them', (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-links-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const each of ['br-1/brif/veth-a', 'br-2/brif/veth-b', 'veth-a', 'veth-b', 'veth-c', 'eth0'])
    mkdirSync(path.join(folder, each), { recursive: true });
  assert.deepEqual(presentLinks(['br-1', 'br-3', 'veth-c'], folder), ['veth-a', 'br-1', 'veth-c']);
});
