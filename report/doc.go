// Package report turns records into what people and programs read: tables, machine formats and pictures.
//
//  1. Load (load.go) reads the records of a finished or killed run; a run that has just ended passes its own.
//  2. sections (section.go) groups them by trace and sequence length, in the order of the records; traces that
//     share a name are told apart (identity.go).
//  3. layOut (layout.go) turns a section into cells by the list of columns (column.go), marks the best
//     among those that compete (compete.go), ranks them where they compare (rank.go), says how much of the
//     gap between the bounds they close (gap.go), collects footnotes (notes.go) and states a verdict
//     (verdict.go). The table (table.go, lines.go) and Markdown (markdown.go) print the same cells.
//  4. csv.go, json.go and benchfmt.go write the records themselves, unrounded.
//  5. Plots (plots.go) makes four figures (figures.go) of curves (curve.go): panels (panel.go) in a grid
//     with a legend (legend.go) and captions (figure.go), in the styles of palette.go and glyph.go, with
//     the ticks of ticker.go and the front of pareto.go. Of more pipelines than a panel holds (crowd.go) they
//     are small multiples (multiples.go), and names beside points (names.go) over bars (bars.go). A figure is
//     drawn on a sheet (sheet.go), PNG or SVG.
//  6. WriteStats (stats.go, stats_columns.go) and WriteStatsPlot (stats_plot.go) show a trace's statistics;
//     panels over layers are in stats_panels.go, others in stats_curves.go.
//  7. Recommend (recommend.go) names one pipeline: of its options (recommend_options.go) the best within bounds, with
//     what would change that and what is open (recommend_changes.go); recommend_write.go writes it.
//
// Nothing here knows a method by name: what a record's family says is all that is known of it. All
// rounding and all units are in unit.go. Start reading at format.go.
package report
