print("preloop")
