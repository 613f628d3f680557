/** Whether a Redis may hold work, by what its INFO says. */

/** Undefined if it may; else the reason in words. */
export function unsafeBecause(info: string): string | undefined {
  const fields = parseInfo(info);
  const policy = fields.get('maxmemory_policy');
  // An evicted key is half a job: the queue would go wrong in ways that nobody has thought of.
  if (policy !== 'noeviction') return `maxmemory-policy is ${policy ?? 'unknown'}, not noeviction`;
  if (fields.get('aof_enabled') !== '1') return 'appendonly is off';
  if (fields.get('aof_last_write_status') === 'err') return 'its append-only file cannot be written';
  const role = fields.get('role');
  if (role !== undefined && role !== 'master') return `it is a ${role}: writes are refused`;
  return undefined;
}

/** `name:value` lines; headings begin with `#`. */
function parseInfo(info: string): Map<string, string> {
  const lines = info.split(/\r?\n/).filter((line) => line.includes(':') && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
}
