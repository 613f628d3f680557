/**
 * On one server: lost answers, nodes that disappear meanwhile, stopped processes, a server that
 * dies.
 */
import { hazards } from '../conformance/hazards.ts';
import { lostAnswers } from '../conformance/lost-answers.ts';
import { useZooKeeper } from '../testing/use-zookeeper.ts';

const { clients, ensemble } = useZooKeeper({ reviveServers: true });

lostAnswers('one server', () => clients);
hazards('one server', () => ({ ensemble: ensemble(), clients }));
