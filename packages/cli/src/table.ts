/** Lines of cells in columns: texts to the left, numbers to the right, two spaces between. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, String(cell).length);
    });
  const numeric = widths.map((_, column) => rows.some((row) => typeof row[column] === 'number'));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          numeric[column] ? String(cell).padStart(widths[column]!) : String(cell).padEnd(widths[column]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
