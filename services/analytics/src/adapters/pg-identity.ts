/** Records which mesh works with the database (ADR 0020). */
import { createPool } from '@thermomesh/sql';
import { analyticsError } from '../core/errors.ts';

/**
 * Claims the database for a mesh. A database of no mesh is claimed at its first use.
 * @param former the mesh from which it is adopted
 * @throws MeshError `database.other_mesh` if it belongs to any other mesh
 */
export async function claimDatabase(
  url: string,
  mesh: { id: string; name: string },
  former?: string,
): Promise<void> {
  const pool = createPool({ url, applicationName: 'thermomesh-identity', connectionsMax: 1 });
  try {
    const claimed = await pool.query(
      `UPDATE database_identity SET mesh = $1, mesh_name = $2, claimed_at = clock_timestamp()
       WHERE mesh IS NULL OR mesh = $1 OR mesh = $3 RETURNING database`,
      [mesh.id, mesh.name, former ?? null],
    );
    if (claimed.length > 0) return;
    const [row] = await pool.query<{ name: string | null }>(
      'SELECT mesh_name AS name FROM database_identity',
    );
    throw analyticsError(
      'database.other_mesh',
      `the database belongs to the mesh "${row?.name ?? 'unknown'}"`,
    );
  } finally {
    await pool.close();
  }
}
