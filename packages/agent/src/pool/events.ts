/** What has happened to the pool since the start, counted: the metrics are made of it. */
export class PoolEvents {
  assignRequests = 0;
  releaseRequests = 0;
  refusals = 0;
  /** ENIs that somebody else detached while pods held addresses of them. */
  lostEnis = 0;
  /** Addresses that vanished while a pod held them. */
  lostAddresses = 0;
  /** Differences to EC2 that were made good, by what was changed. */
  readonly reconciled = { eniReconcileAdd: 0, eniReconcileDel: 0, eniIPPoolReconcile: 0 };
  /** Failures by kind of work. */
  readonly errors = new Map<string, number>();
  /** Work under way, by kind. */
  readonly inProgress = new Map<string, number>();

  fail(kind: string): void {
    add(this.errors, kind, 1);
  }

  /** Runs a piece of work, counted while it lasts and when it fails. */
  async track(kind: string, work: () => Promise<unknown>): Promise<void> {
    add(this.inProgress, kind, 1);
    try {
      await work();
    } catch (error) {
      this.fail(kind);
      throw error;
    } finally {
      add(this.inProgress, kind, -1);
    }
  }
}

function add(counter: Map<string, number>, kind: string, by: number): void {
  counter.set(kind, (counter.get(kind) ?? 0) + by);
}
