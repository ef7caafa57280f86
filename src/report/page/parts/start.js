showTheme();
startCurves();
startTimelines();
startHeatmaps();
startTable();
