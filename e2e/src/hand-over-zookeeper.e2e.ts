import { describeMoves } from './conformance/moves.ts';

describeMoves('zookeeper');
