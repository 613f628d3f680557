/** How long the long tests run; the only reader of the environment here. */

/** Rounds of the oracle, in all; `ZK_ORACLE_ROUNDS` asks for more. */
export const oracleRounds = Number(process.env['ZK_ORACLE_ROUNDS'] ?? '500');
