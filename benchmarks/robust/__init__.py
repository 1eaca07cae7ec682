"""Does val_robust_acc rank configurations as their true accuracy under corruption does, and better than val_acc?"""
