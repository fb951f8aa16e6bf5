export { compile, compiling, type Peers } from './compile.ts';
export { type Difference, difference } from './difference.ts';
export { decisionKey, type PortClass, PortClasses, type PortEntry } from './port-class.ts';
export { lengthOf, type Prefix, prefixOf, writeAddress } from './prefix.ts';
