import type { Draft } from 'immer';
import type { Settings } from './settings.ts';
import type { CloudState } from './state.ts';

export type Step = (draft: Draft<CloudState>) => void;
/** What takes its time first, and then is a step. */
type Preparation = { readonly prepare: () => Promise<Step> };

/** A change that comes by itself. */
export type Transition = {
  /** Of what, and from which status: the same transition is pending once. */
  readonly key: string;
  readonly delay: (settings: Settings) => number;
  /** Takes the step; the account may have moved on, and is then left as it is. */
  readonly step: Step | Preparation;
};
