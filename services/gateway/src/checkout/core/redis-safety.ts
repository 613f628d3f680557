/** Decides from the text of INFO whether a Redis server may hold work. */

/** The reason in words why it may not; undefined if it may. */
export function unsafeBecause(info: string): string | undefined {
  const fields = parseInfo(info);
  const policy = fields.get('maxmemory_policy');
  // Evicting a key may leave half a job behind, which BullMQ does not expect.
  if (policy !== 'noeviction') return `maxmemory-policy is ${policy ?? 'unknown'}, not noeviction`;
  if (fields.get('aof_enabled') !== '1') return 'appendonly is off';
  if (fields.get('aof_last_write_status') === 'err') return 'its append-only file cannot be written';
  const role = fields.get('role');
  if (role !== undefined && role !== 'master') return `it is a ${role}: writes are refused`;
  return undefined;
}

/** Reads `name:value` lines; lines that begin with `#` are headings. */
function parseInfo(info: string): Map<string, string> {
  const lines = info.split(/\r?\n/).filter((line) => line.includes(':') && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
}
