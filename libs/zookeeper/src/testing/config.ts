/** The length of the long tests. Only this file reads the environment here. */

/** Total number of the oracle's rounds; `ZK_ORACLE_ROUNDS` sets another one. */
export const oracleRounds = Number(process.env['ZK_ORACLE_ROUNDS'] ?? '500');
