def results_files():
    return []
