/** Guards of the verdicts that commands print, and of what they rest on. */
import type { Mutant } from '../mutant.ts';

const verdictsSuite = 'tools/mesh/src/verdict/verdicts.test.ts';

export const verdictsMutants: Mutant[] = [
  {
    name: 'unlooked-is-kept',
    promise: 'I1',
    guard: 'a promise without evidence is null, so "mesh verify" does not call it kept',
    file: 'tools/mesh/src/verdict/verdicts.ts',
    find: 'return { id, ok: null, detail:',
    replace: 'return { id, ok: true, detail:',
    suites: [verdictsSuite],
  },
  {
    name: 'null-outweighs-nothing',
    promise: 'I1',
    guard: 'one promise that was not judged keeps the whole verdict from being true',
    file: 'tools/mesh/src/verdict/verdicts.ts',
    find: 'verdicts.length === 0 || verdicts.some(({ ok }) => ok === null) ? null : true',
    replace: 'true',
    suites: [verdictsSuite],
  },
  {
    name: 'verify-without-a-floor',
    promise: 'I1',
    guard: 'a ledger without one acknowledged reading proves nothing',
    file: 'tools/mesh/src/verdict/stored.ts',
    find: 'return acked === 0 ?',
    replace: 'return acked < 0 ?',
    suites: [verdictsSuite],
  },
  {
    name: 'open-readings-not-carried',
    promise: 'I1',
    guard: "a segment of the fleet's ledger repeats the readings that are not yet acknowledged",
    file: 'libs/ledger/src/rotating.ts',
    find: 'for (const reading of this.#open.values()) writer.sent(lineOf(reading, startedAtMs));',
    replace: '',
    suites: ['libs/ledger/src/rotating.int.ts'],
  },
  {
    name: 'mode-left-to-the-umask',
    promise: 'I1',
    guard: 'a folder that another user has to enter gets its mode explicitly, whatever the umask',
    file: 'libs/servers/src/folders.ts',
    find: 'for (let each = path.resolve(folder); each.startsWith(made); each = path.dirname(each))',
    replace: 'for (let each = path.resolve(folder); each === made.slice(1); each = path.dirname(each))',
    suites: ['libs/servers/src/folders.int.ts'],
  },
  {
    name: 'reserved-device-name',
    promise: 'I1',
    guard: "no device takes a client id of the mesh's own clients, the drain session among them",
    file: 'libs/contracts/src/ids.ts',
    find: 'return isDeviceId(id) && !reserved;',
    replace: 'return isDeviceId(id);',
    suites: ['services/gateway/src/broker/core/access.test.ts'],
  },
];
