showTheme();
startCurves();
startTimelines();
startTable();
