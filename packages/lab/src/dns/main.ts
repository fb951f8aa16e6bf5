console.log("dns");
