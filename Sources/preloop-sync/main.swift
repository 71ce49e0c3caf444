print("preloop-sync")
