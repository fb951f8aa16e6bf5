/** Who reaches whom: connections of TCP, questions by UDP, and associations of SCTP that are begun. */

export type Protocol = 'TCP' | 'UDP' | 'SCTP';
/** One who sends and answers. */
export type Peer = { readonly name: string; readonly address: string };
export type Probe = {
  readonly from: Peer;
  readonly to: Peer;
  readonly protocol: Protocol;
  readonly port: number;
};

/** Tries who reaches whom, in a lab or a cluster that is given. What listens is made by it too. */
export type Prober = AsyncDisposable & {
  /** What it speaks. */
  readonly protocols: readonly Protocol[];
  /** How long those that are not to get through have, in milliseconds. */
  readonly quiet: number;
  /** How long those that are to get through need at most. */
  readonly patience: number;
  /**
   * Tries all of them at once, each anew.
   * @param expected which are to get through: waiting ends when they have, and the others had their time.
   * @param patience with those, in milliseconds.
   * @returns which got through.
   */
  run(probes: readonly Probe[], expected: readonly boolean[], patience: number): Promise<boolean[]>;
};
